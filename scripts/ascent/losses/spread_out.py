"""The spread-out regulariser: embeddings of different texts have similarities like those of random directions (Zhang et
al. 2017, arXiv 1708.06320)."""

import torch

from ..collectives import gather, sum_of_all
from . import Embedded


def spread_out(local: Embedded) -> torch.Tensor:
    """Return per row the mean of L(queries) and L(positives), where L = M1^2 + max(0, M2 - 1 / dimension), with M1 and
    M2 the means of the cosine, and of its square, over all ordered pairs of the whole batch's rows of this loss; a
    positive that several rows share counts once, in the first."""
    loss = (_spread(local.queries) + _spread(local.positives[_first_of_text(local)])) / 2
    return loss.expand(len(local.queries))


def _first_of_text(local: Embedded) -> torch.Tensor:
    """Return which rows are the first in the whole batch to have their positive's text: bool (rows,)."""
    ids = local.document_ids[: len(local.queries)]
    every, numbers = gather(torch.stack([ids, local.numbers], dim=1)).T
    texts, places = torch.unique(every, return_inverse=True)
    first = numbers.new_full(texts.shape, torch.iinfo(numbers.dtype).max).scatter_reduce(0, places, numbers, "amin")
    return local.numbers == first[torch.searchsorted(texts, ids.contiguous())]


def _spread(embeddings: torch.Tensor) -> torch.Tensor:
    """Return L without the matrix of cosines: sum_ij x_i x_j = |sum_i x_i|^2, sum_ij (x_i x_j)^2 = |sum_i x_i
    x_i^T|^2."""
    units = torch.nn.functional.normalize(embeddings, dim=1)
    rows = sum_of_all(units.new_tensor(float(len(units))))
    pairs = (rows * (rows - 1)).clamp(min=1)  # the sums below include each row with itself: 1
    first = (sum_of_all(units.sum(0)).pow(2).sum() - rows) / pairs
    second = (sum_of_all(units.T @ units).pow(2).sum() - rows) / pairs
    return first**2 + torch.relu(second - 1 / units.shape[1])
