"""Lexical weights (BGE-M3, Chen et al. 2024, arXiv 2402.03216, section 3.2): a linear layer to one number, and ReLU."""

import torch
from sentence_transformers.base.modules import Dense

from .multi_vector import beside


def lexical(width: int) -> Dense:
    return beside(width, 1, torch.nn.ReLU(), "lexical_weights")
