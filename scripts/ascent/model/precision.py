"""The precision in which a model computes: dtype, FP8, compilation, activation checkpointing."""

import torch

from ..errors import AscentError
from ..settings.training import Training


def prepare_backbone(backbone: torch.nn.Module, stage: Training) -> None:
    """Apply a stage's activation checkpointing, FP8 and compilation to a backbone.

    Raises AscentError if the GPU does not support FP8. On a CPU it is emulated, for tests.
    """
    if stage.activation_checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    if stage.precision == "float8":
        _use_float8(backbone)
    if stage.compile:
        backbone.compile(dynamic=True)


def _use_float8(backbone: torch.nn.Module) -> None:
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError:
        raise AscentError("precision: float8 needs torchao, which envs/gpu.txt has; install it, or use bfloat16.") from None
    gpu = torch.cuda.is_available()  # the weights may still be on the CPU
    if gpu and torch.cuda.get_device_capability() < (8, 9):
        raise AscentError(f"precision: float8 needs a GPU with FP8, which {torch.cuda.get_device_name()} lacks; use bfloat16.")

    def fits(module: torch.nn.Module, _: str) -> bool:
        return module.in_features % 16 == 0 and module.out_features % 16 == 0  # required by FP8 matrix products

    convert_to_float8_training(backbone, module_filter_fn=fits, config=Float8LinearConfig(emulate=not gpu))


def precision_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype to autocast to, or None for float32. `auto` is bfloat16 if the processor supports it."""
    if precision == "float32":
        return None
    if precision in ("bfloat16", "float8"):
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    # torch 2.10, in the GPU environment, lacks `get_capabilities`. CPUs with AMX's bfloat16 also have AVX-512's.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None
