"""QLoRA: LoRA on a backbone whose linear layers are held in 4 bits (Dettmers et al. 2023, arXiv 2305.14314), by
bitsandbytes."""

import torch

from ...errors import AscentError
from .lora import Lora


class Qlora(Lora):
    """Trains as Lora, on rounded weights, into which it is merged."""

    def prepare(self, backbone: torch.nn.Module, dtype: torch.dtype | None) -> None:
        to_four_bits(backbone, self.where, dtype)

    def round(self, backbone: torch.nn.Module) -> None:
        to_four_bits(backbone, self.where)
        from_four_bits(backbone)


def to_four_bits(backbone: torch.nn.Module, where: str, dtype: torch.dtype | None = None) -> None:
    """Replace the linear layers by bitsandbytes' 4-bit ones, which round their weights when they are moved to a GPU.

    dtype: what they compute in; None for that of their inputs.
    """
    if not torch.cuda.is_available():
        raise AscentError(f"{where}: qlora needs a GPU, but this machine has none; use lora.")
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError:
        raise AscentError(
            f"{where}: qlora needs bitsandbytes, which envs/gpu.txt has; install it, or use lora."
        ) from None
    for name, module in list(backbone.named_modules()):
        if type(module) is torch.nn.Linear:
            shape = {"bias": module.bias is not None, "compute_dtype": dtype, "quant_type": "nf4"}
            rounded = Linear4bit(module.in_features, module.out_features, **shape)
            rounded.weight = Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
            rounded.bias = module.bias
            backbone.set_submodule(name, rounded)
    backbone.is_loaded_in_4bit = True  # peft asks


def from_four_bits(backbone: torch.nn.Module) -> None:
    """Replace them by linear layers with the rounded weights, float32 on the CPU."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for name, module in list(backbone.named_modules()):
        if isinstance(module, Linear4bit):
            module.cuda()
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            plain.weight.data = dequantize_4bit(module.weight.data, module.weight.quant_state).float().cpu()
            if module.bias is not None:
                plain.bias.data = module.bias.data.float().cpu()
            backbone.set_submodule(name, plain)
    backbone.is_loaded_in_4bit = False
