"""CoSENT: graded pairs are ranked by their similarity (Huang et al. 2024, doi 10.1109/TASLP.2024.3402087)."""

import torch

from ..collectives import gather
from . import Embedded


def cosent(local: Embedded, *, scale: float) -> torch.Tensor:
    """Return per row the loss of its data set, see `ranking`, with the cosine as similarity."""
    return ranking(torch.nn.functional.cosine_similarity(local.queries, local.positives), local, scale)


def ranking(similarity: torch.Tensor, local: Embedded, scale: float) -> torch.Tensor:
    """Return per row L = log(1 + sum of exp(scale * (s_j - s_i)) over all i, j with label_i > label_j), where i and j
    are rows of its data set in the whole batch: another's labels may be on another scale.

    similarity: (rows,), of each query and its positive. A data set's rows all have the same value, so that their mean
    is L.
    """
    scores, labels, sources = gather(scale * similarity), gather(local.labels), gather(local.dataset_index)
    if len(sources) == 0:
        return similarity
    distinct = sources.unique()
    losses = torch.stack([_ranking(scores[sources == source], labels[sources == source]) for source in distinct])
    return losses[torch.searchsorted(distinct, local.dataset_index)]


def _ranking(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return L of the scores in O(n log n), without the matrix of all differences."""
    labels, order = labels.sort()
    scores = scores[order]
    # The log of the sum of exp(-s) over a row and those after it.
    after = torch.logcumsumexp(-scores.flip(0), dim=0).flip(0)
    better = torch.searchsorted(labels, labels, right=True)  # the first row of a higher label
    lower = better < len(labels)
    return torch.logsumexp(torch.cat([scores.new_zeros(1), scores[lower] + after[better[lower]]]), dim=0)
