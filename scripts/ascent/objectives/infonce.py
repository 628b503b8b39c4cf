"""InfoNCE with in-batch, cross-process and mined negatives (van den Oord et al. 2018, arXiv 1807.03748, eq. 4)."""

from functools import partial

import torch

from ..settings import TrainStage
from . import Embedded, Objective


def objective(stage: TrainStage) -> Objective:
    """Return InfoNCE with a stage's temperature and direction."""
    return partial(infonce, temperature=stage.temperature, symmetric=stage.symmetric)


def infonce(local: Embedded, batch: Embedded, *, temperature: float, symmetric: bool) -> torch.Tensor:
    """Return the sum over this process's rows of -log softmax(s(q, d+) / temperature) over the batch's documents.

    A document is no negative of a query when its text is a known answer to it (among them the positive itself), wherever
    in the whole batch it stands: such columns are left out of the softmax. `symmetric` averages with the same loss in the
    other direction, each positive against the batch's queries.
    """
    own = local.documents[local.positives]
    known = _any_equal(local.answers, batch.document_ids)
    loss = _one_way(local.queries, batch.documents, own, known, temperature)
    if symmetric:
        answered = _any_equal(batch.answers, local.document_ids[local.positives]).T
        back = _one_way(own, batch.queries, local.queries, answered, temperature)
        loss = (loss + back) / 2
    return loss


def _any_equal(answers: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return a mask (rows, ids): whether an id is among a row's answers."""
    found = torch.zeros(len(answers), len(ids), dtype=torch.bool, device=ids.device)
    for column in answers.T:  # few: most queries have one answer
        found |= column[:, None] == ids[None, :]
    return found


def _one_way(
    anchors: torch.Tensor, candidates: torch.Tensor, partners: torch.Tensor, excluded: torch.Tensor, temperature: float
) -> torch.Tensor:
    # The partner's own column is excluded with its duplicates, and its score stands once more in front.
    scores = (anchors @ candidates.T / temperature).masked_fill(excluded, float("-inf"))
    positive = (anchors * partners).sum(-1, keepdim=True) / temperature
    return (torch.logsumexp(torch.cat([positive, scores], dim=1), dim=1) - positive.squeeze(1)).sum()
