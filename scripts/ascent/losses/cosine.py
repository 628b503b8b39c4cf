"""Squared error of the cosine similarity against a pair's label, of graded pairs (Reimers and Gurevych 2019, arXiv 1908.10084,
section 3, regression objective)."""

import torch

from . import Embedded


def cosine(local: Embedded) -> torch.Tensor:
    """Return (cos(query, positive) - label)^2 for each row. A row's loss concerns no other row."""
    similarity = torch.nn.functional.cosine_similarity(local.queries, local.positives)
    return (similarity - local.labels.to(similarity.dtype)) ** 2
