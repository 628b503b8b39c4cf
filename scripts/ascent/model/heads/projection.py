"""A linear layer: sentence-transformers' Dense, without an activation."""

import torch
from sentence_transformers.base.modules import Dense


def projection(width: int, *, dimension: int, bias: bool) -> Dense:
    weight = torch.nn.init.orthogonal_(torch.empty(dimension, width))
    return Dense(
        width,
        dimension,
        bias=bias,
        activation_function=torch.nn.Identity(),
        init_weight=weight,
        init_bias=torch.zeros(dimension) if bias else None,
    )
