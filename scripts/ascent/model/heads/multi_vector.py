"""Multi-vector output (BGE-M3, Chen et al. 2024, arXiv 2402.03216; ColBERT, arXiv 2004.12832): a linear layer for each token."""

import torch
from sentence_transformers.base.modules import Dense


def multi_vector(width: int, *, dimension: int | None) -> Dense:
    return beside(width, dimension or width, torch.nn.Identity(), "multi_vectors")


def beside(width: int, dimension: int, activation: torch.nn.Module, name: str) -> Dense:
    """Return a layer that puts what it makes of the token states beside them, under a name."""
    return Dense(
        width,
        dimension,
        activation_function=activation,
        init_weight=torch.nn.init.orthogonal_(torch.empty(dimension, width)),
        init_bias=torch.zeros(dimension),
        module_input_name="token_embeddings",
        module_output_name=name,
    )
