"""The weighted mean of models' weights (model soup, Wortsman et al. 2022, arXiv 2203.05482)."""

import torch

from ...settings.merging import Linear


def linear(tensors: list[torch.Tensor], weights: list[float], stage: Linear) -> torch.Tensor:
    """Return the weighted mean of tensors of one shape; weights sum to 1."""
    return sum(tensor * weight for tensor, weight in zip(tensors, weights, strict=True))
