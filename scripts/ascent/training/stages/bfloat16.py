"""A model whose weights are rounded to bfloat16."""

import torch

from ...settings.merging import Bfloat16


def bfloat16(tensors: list[torch.Tensor], weights: list[float], stage: Bfloat16) -> torch.Tensor:
    """Return the one tensor, rounded to the nearest number of bfloat16."""
    return tensors[0].to(torch.float32).to(torch.bfloat16)
