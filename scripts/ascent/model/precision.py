"""The precision in which a model computes: dtype, FP8, compilation, activation checkpointing."""

import torch

from ..errors import AscentError
from ..settings.training import Training


def prepare_backbone(backbone: torch.nn.Module, stage: Training) -> None:
    """Give a backbone that is on its device what a stage asks for: activation checkpointing, FP8, compilation.

    Raises AscentError when FP8 is asked for where it cannot be computed. On a CPU it is emulated, for tests.
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
        raise AscentError("precision: float8 needs torchao, which envs/gpu.txt has; install it, or take bfloat16.") from None
    gpu = next(backbone.parameters()).is_cuda
    if gpu and torch.cuda.get_device_capability() < (8, 9):
        raise AscentError(f"precision: float8 needs a GPU that has FP8; {torch.cuda.get_device_name()} has not; take bfloat16.")

    def fits(module: torch.nn.Module, _: str) -> bool:
        return module.in_features % 16 == 0 and module.out_features % 16 == 0  # what FP8's matrix products take

    convert_to_float8_training(backbone, module_filter_fn=fits, config=Float8LinearConfig(emulate=not gpu))


def precision_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype to autocast to, or None for float32. `auto` is bfloat16 where the processor computes in it."""
    if precision == "float32":
        return None
    if precision in ("bfloat16", "float8"):
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    # torch 2.10, of the GPU environment, lacks `get_capabilities`. CPUs with AMX's bfloat16 have AVX-512's too.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None
