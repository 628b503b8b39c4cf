"""InfoNCE with in-batch, cross-process and mined negatives (van den Oord et al. 2018, arXiv 1807.03748, eq. 4)."""

from functools import partial

import torch

from ..settings import TrainStage
from . import Embedded, Objective

# Scores are computed in blocks of this many rows and columns, forward and backward, so that the matrix of all scores, which
# would bind the batch to the memory, never exists: at 19,200 queries and 38,400 documents it alone would hold 3 GB.
TILE = 4096


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
    ids = batch.document_ids[:, None]
    loss = _OneWay.apply(local.queries, own, batch.documents, local.answers, ids, temperature)
    if symmetric:
        own_ids = local.document_ids[local.positives][:, None]
        loss = (loss + _OneWay.apply(own, local.queries, batch.queries, own_ids, batch.answers, temperature)) / 2
    return loss


class _OneWay(torch.autograd.Function):
    """Sum over rows i of log(exp p_i + sum_j exp s_ij) - p_i, where p_i = anchor_i * partner_i / t, s_ij = anchor_i *
    candidate_j / t, and j runs over the candidates that share no id with the row.

    anchors, partners: (rows, dimension). candidates: (columns, dimension). row_ids (rows, k), column_ids (columns, l): int64.
    With w_ij the softmax weights and w_i the partner's, the gradient at an anchor is (sum_j w_ij candidate_j + (w_i - 1)
    partner_i) / t, at a candidate sum_i w_ij anchor_i / t, at a partner (w_i - 1) anchor_i / t: the weights are computed again
    from the stored logarithm of each row's sum.
    """

    @staticmethod
    def forward(ctx, anchors, partners, candidates, row_ids, column_ids, temperature: float):
        positive = (anchors * partners).sum(1) / temperature
        total = positive.clone()
        for rows, columns in _tiles(anchors, candidates):
            scores = _scores(anchors[rows], candidates[columns], row_ids[rows], column_ids[columns], temperature)
            total[rows] = torch.logaddexp(total[rows], torch.logsumexp(scores, dim=1))
        ctx.save_for_backward(anchors, partners, candidates, row_ids, column_ids, positive, total)
        ctx.temperature = temperature
        return (total - positive).sum()

    @staticmethod
    def backward(ctx, gradient):
        anchors, partners, candidates, row_ids, column_ids, positive, total = ctx.saved_tensors
        scale = gradient / ctx.temperature
        short = torch.expm1(positive - total)[:, None]  # the partner's weight less 1, without cancellation
        at_anchors, at_partners, at_candidates = short * partners, short * anchors, torch.zeros_like(candidates)
        for rows, columns in _tiles(anchors, candidates):
            scores = _scores(anchors[rows], candidates[columns], row_ids[rows], column_ids[columns], ctx.temperature)
            weights = torch.exp(scores - total[rows, None])
            at_anchors[rows] += weights @ candidates[columns]
            at_candidates[columns] += weights.T @ anchors[rows]
        return at_anchors * scale, at_partners * scale, at_candidates * scale, None, None, None


def _tiles(anchors: torch.Tensor, candidates: torch.Tensor):
    for row in range(0, len(anchors), TILE):
        for column in range(0, len(candidates), TILE):
            yield slice(row, row + TILE), slice(column, column + TILE)


def _scores(anchors, candidates, row_ids, column_ids, temperature: float) -> torch.Tensor:
    """Return the scores (rows, columns) of a tile, -inf where a row and a column share an id."""
    shared = torch.zeros(len(anchors), len(candidates), dtype=torch.bool, device=anchors.device)
    for row_id in row_ids.T:  # few: most queries have one answer
        for column_id in column_ids.T:
            shared |= row_id[:, None] == column_id[None, :]
    return (anchors @ candidates.T / temperature).masked_fill_(shared, float("-inf"))
