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

    A document is no negative of a query when it has the text of the query's positive, or when it is the positive of a
    row with the same query: such columns are left out of the softmax wherever in the whole batch they stand.
    `symmetric` averages with the same loss in the other direction, each positive against the batch's queries.
    """
    # Row i of the batch is true of query and document alike: which rows share a query, which documents share a text.
    positive_ids = batch.document_ids[batch.positives]
    own_ids = local.document_ids[local.positives]
    same_query = local.query_ids[:, None] == batch.query_ids[None, :]
    same_text = own_ids[:, None] == batch.document_ids[None, :]
    same_text[:, batch.positives] |= same_query

    loss = _one_way(local.queries, batch.documents, local.documents[local.positives], same_text, temperature)
    if symmetric:
        same = same_query | (own_ids[:, None] == positive_ids[None, :])
        back = _one_way(local.documents[local.positives], batch.queries, local.queries, same, temperature)
        loss = (loss + back) / 2
    return loss


def _one_way(
    anchors: torch.Tensor, candidates: torch.Tensor, partners: torch.Tensor, excluded: torch.Tensor, temperature: float
) -> torch.Tensor:
    # The partner's own column is excluded with its duplicates, and its score stands once more in front.
    scores = (anchors @ candidates.T / temperature).masked_fill(excluded, float("-inf"))
    positive = (anchors * partners).sum(-1, keepdim=True) / temperature
    return (torch.logsumexp(torch.cat([positive, scores], dim=1), dim=1) - positive.squeeze(1)).sum()
