"""The precision in which a model computes: dtype, FP8, compilation, activation checkpointing."""

from dataclasses import replace

import torch

from ..errors import AscentError
from ..settings.training import Training


def prepare_backbone(backbone: torch.nn.Module, stage: Training) -> None:
    """Apply a stage's activation checkpointing, FP8 and compilation to a backbone.

    On a GPU FP8 implies compilation: without it, scaling costs more than FP8 brings. On a CPU FP8 is emulated, for
    tests. Raises AscentError if the GPU does not support FP8."""
    if stage.activation_checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    if stage.precision == "float8":
        _use_float8(backbone)
    if is_to_compile(stage):
        backbone.compile(dynamic=True)


def is_to_compile(stage: Training) -> bool:
    """Return whether a stage's backbone is compiled on this machine."""
    return stage.compile or (stage.precision == "float8" and torch.cuda.is_available())


def token_multiple(precision: str) -> int:
    """Return what the number of tokens that a model embeds at a time must be a multiple of: FP8's products need 16."""
    return 16 if precision == "float8" else 1


def _use_float8(backbone: torch.nn.Module) -> None:
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError:
        raise AscentError(
            "precision: float8 needs torchao, which envs/gpu.txt has; install it, or use bfloat16."
        ) from None
    gpu = torch.cuda.is_available()  # the weights may still be on the CPU
    if gpu and torch.cuda.get_device_capability() < (8, 9):
        raise AscentError(
            f"precision: float8 needs a GPU with FP8, which {torch.cuda.get_device_name()} lacks; use bfloat16."
        )

    config = replace(Float8LinearConfig.from_recipe_name("rowwise"), emulate=not gpu)
    convert_to_float8_training(backbone, module_filter_fn=fits_float8, config=config)


def fits_float8(module: torch.nn.Linear, name: str) -> bool:
    """Return whether a layer computes in FP8, whose products need sizes that are multiples of 16. LoRA's own matrices
    stay in bfloat16: they are too thin to gain."""
    return module.in_features % 16 == 0 and module.out_features % 16 == 0 and "lora_" not in name


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
