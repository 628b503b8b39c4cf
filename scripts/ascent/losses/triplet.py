"""Triplet loss on a row's own negatives (Schroff et al. 2015, arXiv 1503.03832; with these distances Reimers and
Gurevych 2019, arXiv 1908.10084, section 3)."""

import torch

from . import Embedded


def triplet(local: Embedded, *, margin: float, distance: str) -> torch.Tensor:
    """Return per row the mean of max(0, d(query, positive) - d(query, negative) + margin) over its own negatives that
    are not known answers; 0 if it has none."""
    rows = len(local.queries)
    owners, negatives = local.row_of_document[rows:], local.documents[rows:]
    known = (local.answers[owners] == local.document_ids[rows:, None]).any(1)
    near = _distance(local.queries, local.positives, distance)
    far = _distance(local.queries[owners], negatives, distance)
    losses = torch.relu(near[owners] - far + margin).masked_fill(known, 0)
    total = near.new_zeros(rows).index_add(0, owners, losses)
    return total / near.new_zeros(rows).index_add(0, owners, (~known).to(near.dtype)).clamp(min=1)


def _distance(vectors: torch.Tensor, others: torch.Tensor, distance: str) -> torch.Tensor:
    if distance == "cosine":
        return 1 - torch.nn.functional.cosine_similarity(vectors, others)
    return torch.linalg.vector_norm(vectors - others, dim=1)
