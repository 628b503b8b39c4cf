"""Squared error of the cosine similarity against a pair's label, for graded pairs (Reimers and Gurevych 2019, arXiv
1908.10084, section 3, regression objective)."""

import torch

from . import Embedded


def cosine(local: Embedded) -> torch.Tensor:
    """Return (cos(query, positive) - label)^2 per row. A row's loss depends on no other row."""
    similarity = torch.nn.functional.cosine_similarity(local.queries, local.positives)
    return (similarity - local.labels.to(similarity.dtype)) ** 2
