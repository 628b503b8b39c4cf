"""Circle loss, whose similarities are pushed the harder the further they are from where they should be (Sun et al. 2020, arXiv
2002.10857)."""

import torch

from . import Embedded
from .ring import OneWay, Scoring, keys_of


def circle(local: Embedded, *, gamma: float, margin: float) -> torch.Tensor:
    """Return log(1 + sum_j exp(gamma * a_j * (s_j - m)) * exp(-gamma * a * (s - 1 + m))) for each row, with s the cosine of query
    and positive, s_j those with the negatives, a_j = max(0, s_j + m), a = max(0, 1 + m - s), which pass no gradient on.

    Negatives are those of infonce, of the whole batch.
    """
    queries, documents = (torch.nn.functional.normalize(side, dim=1) for side in (local.queries, local.documents))
    scoring = Scoring(temperature=1 / gamma, widths=(queries.shape[1],), pace=margin)
    loss, _ = OneWay.apply(queries, documents[: len(queries)], documents, *keys_of(local), scoring)
    return loss[:, 0]
