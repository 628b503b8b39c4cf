"""Circle loss, which weights each similarity by its distance from its optimum (Sun et al. 2020, arXiv
2002.10857)."""

import torch

from . import Embedded
from .ring import OneWay, Scoring, keys_of


def circle(local: Embedded, *, gamma: float, margin: float) -> torch.Tensor:
    """Return log(1 + sum_j exp(gamma * a_j * (s_j - m)) * exp(-gamma * a * (s - 1 + m))) per row, where s is the cosine
    of query and positive, s_j are those with the negatives, a_j = max(0, s_j + m) and a = max(0, 1 + m - s) are
    constants.

    Negatives are those of infonce, from the whole batch.
    """
    queries, documents = (torch.nn.functional.normalize(side, dim=1) for side in (local.queries, local.documents))
    scoring = Scoring(temperature=1 / gamma, widths=(queries.shape[1],), pace=margin)
    loss, _ = OneWay.apply(queries, documents[: len(queries)], documents, *keys_of(local), scoring)
    return loss[:, 0]
