"""Synthetic hard negatives: mixtures of the embeddings of a row's own negatives.

Pair-wise: lambda * n_i + (1 - lambda) * n_j of two different negatives drawn at random, lambda uniform in (0, 1)
(MoCHi, Kalantidis et al. 2020, arXiv 2010.01028, section 4.1). List-wise: the sum of all of them, weighted by the
softmax of their similarities to the query (both in KaLM-Embedding-V2, arXiv 2506.20923). Both are scaled to length 1
again if embeddings are.
"""

import numpy as np
import torch

from . import Embedded


def own_negatives(local: Embedded) -> torch.Tensor:
    """Return each row's own negatives that are not known answers, in their order: int64 (rows, most), padded with
    -1."""
    rows = len(local.queries)
    owners = local.row_of_document[rows:]
    usable = (local.document_ids[rows:, None] != local.answers[owners]).all(1)
    owners, order = owners[usable].sort(stable=True)
    documents = rows + usable.nonzero()[:, 0][order]
    counts = torch.bincount(owners, minlength=rows)
    places = torch.arange(len(owners), device=owners.device) - (counts.cumsum(0) - counts)[owners]
    negatives = owners.new_full((rows, int(counts.max()) if len(owners) else 0), -1)
    negatives[owners, places] = documents
    return negatives


def draws(numbers: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return uniform numbers in [0, 1) that depend only on the seed and each row's number: float64 (rows, count, 3)."""
    drawn = [np.random.default_rng([seed, number]).random((count, 3)) for number in numbers.tolist()]
    return torch.from_numpy(np.array(drawn).reshape(len(numbers), count, 3)).to(numbers.device)


def mixtures(
    queries: torch.Tensor,
    documents: torch.Tensor,
    own: torch.Tensor,
    uniform: torch.Tensor,
    *,
    listwise: bool,
    temperature: float,
    normalise: bool,
) -> torch.Tensor:
    """Return each row's mixtures, (rows, pairs of `uniform` plus one if listwise, dimension); ignore those of rows with
    fewer than two negatives. own: see own_negatives. uniform: (rows, pairs, 3), two numbers that choose and lambda."""
    counts = (own >= 0).sum(1)[:, None].clamp(min=2)
    first = (uniform[..., 0] * counts).long()
    second = (first + 1 + (uniform[..., 1] * (counts - 1)).long()) % counts
    share = uniform[..., 2, None].to(documents.dtype)
    one, other = (documents[own.gather(1, place).clamp(min=0)] for place in (first, second))
    mixed = share * one + (1 - share) * other
    if listwise:
        listed = documents[own.clamp(min=0)]
        scores = (listed @ queries[:, :, None])[..., 0] / temperature
        weights = scores.masked_fill(own < 0, torch.finfo(scores.dtype).min).softmax(1)
        mixed = torch.cat([mixed, weights[:, None] @ listed], dim=1)
    return torch.nn.functional.normalize(mixed, dim=-1) if normalise else mixed
