"""InfoNCE with in-batch, cross-process and mined negatives (van den Oord et al. 2018, arXiv 1807.03748, eq. 4)."""

import torch

from ..training.collectives import pass_on, sizes_of_all
from . import Embedded, prefix, sizes_of

# Scores are computed in blocks of this many rows and columns, forward and backward, so that the matrix of all scores, which
# would bind the batch to the memory, never exists: at 19,200 queries and 38,400 documents it alone would hold 3 GB.
TILE = 4096


def infonce(
    local: Embedded, *, temperature: float, symmetric: bool, sizes: dict[int, float] | None = None, normalise: bool = True
) -> torch.Tensor:
    """Return -log softmax(s(q, d+) / temperature) over the whole batch's documents for each of this process's rows.

    A document is no negative of a query when its text is a known answer to it (among them the positive itself), wherever
    in the whole batch it stands, or when its row is of another group: such columns are left out of the softmax. `symmetric`
    averages with the same loss in the other direction, each positive against the batch's queries. `sizes`: see
    objectives.matryoshka; all sizes are computed in one pass over the batch.
    """
    weights = sizes_of(sizes or {}, local.queries.shape[1])
    queries, documents = (
        torch.cat([prefix(side, size, normalise) for size in weights], dim=1) if len(weights) > 1 else side
        for side in (local.queries, local.documents)
    )
    positives = documents[: len(queries)]
    groups, of_documents = local.groups[:, None], local.groups[local.owners][:, None]
    query_keys = torch.cat([groups, local.answers], dim=1)
    document_keys = torch.cat([of_documents, local.document_ids[:, None]], dim=1)
    widths = tuple(weights)
    loss = _OneWay.apply(queries, positives, documents, query_keys, document_keys, temperature, widths)
    if symmetric:
        back = _OneWay.apply(positives, queries, queries, document_keys[: len(queries)], query_keys, temperature, widths)
        # Alone in its group, a positive has no other query to be told from.
        loss = torch.where(groups == 0, (loss + back) / 2, loss)
    return loss @ torch.tensor(list(weights.values()), dtype=loss.dtype, device=loss.device)


class _OneWay(torch.autograd.Function):
    """log(exp p_i + sum_j exp s_ij) - p_i for each row i, where p_i = anchor_i * partner_i / t, s_ij = anchor_i * candidate_j
    / t, and j runs over every process's candidates that are of the row's group and share no id with it.

    anchors, partners: (rows, width). candidates: (columns, width), this process's own. row_keys (rows, 1 + k), column_keys
    (columns, 1 + l): int64, a group, then ids. widths: each vector is several, one behind the other; the result is (rows,
    len(widths)).

    The candidates go round the processes in a ring, so none ever holds them all. With w_ij the softmax weights and w_i the
    partner's, the gradient at an anchor is (sum_j w_ij candidate_j + (w_i - 1) partner_i) / t, at a candidate sum_i w_ij
    anchor_i / t, at a partner (w_i - 1) anchor_i / t: the weights are computed again from the stored logarithm of each row's
    sum, and a block's gradient goes round with it until it is at home.
    """

    @staticmethod
    def forward(ctx, anchors, partners, candidates, row_keys, column_keys, temperature: float, widths: tuple[int, ...]):
        ctx.parts = [slice(sum(widths[:i]), sum(widths[: i + 1])) for i in range(len(widths))]
        ctx.temperature, ctx.sizes = temperature, sizes_of_all(candidates)
        ctx.save_for_backward(anchors, partners, candidates, row_keys, column_keys)
        positive = torch.stack([(anchors[:, part] * partners[:, part]).sum(1) for part in ctx.parts], dim=1) / temperature
        total = positive.clone()
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            coming = pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None  # while this one is computed with
            for rows, columns in _tiles(anchors, block[0]):
                excluded = _excluded(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / temperature
                    scores = torch.logsumexp(scores.masked_fill_(excluded, -torch.inf), dim=1)
                    total[rows, k] = torch.logaddexp(total[rows, k], scores)
            block = coming() if coming else block
        ctx.positive, ctx.total = positive, total
        return total - positive

    @staticmethod
    def backward(ctx, gradient):
        anchors, partners, candidates, row_keys, column_keys = ctx.saved_tensors
        scale = gradient / ctx.temperature  # (rows, sizes)
        short = torch.expm1(ctx.positive - ctx.total) * scale  # the partner's weight less 1, without cancellation
        spread = torch.cat([short[:, k, None].expand(-1, part.stop - part.start) for k, part in enumerate(ctx.parts)], dim=1)
        at_anchors, at_partners, at_block = spread * partners, spread * anchors, torch.zeros_like(candidates)
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            coming = pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None
            for rows, columns in _tiles(anchors, block[0]):
                excluded = _excluded(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / ctx.temperature
                    weights = scores.sub_(ctx.total[rows, k, None]).exp_().masked_fill_(excluded, 0).mul_(scale[rows, k, None])
                    at_anchors[rows, part] += weights @ block[0][columns, part]
                    at_block[columns, part] += weights.T @ anchors[rows, part]
            (at_block,) = pass_on([at_block], ctx.sizes, hop)()
            block = coming() if coming else block
        return at_anchors, at_partners, at_block, None, None, None, None


def _tiles(anchors: torch.Tensor, candidates: torch.Tensor):
    for row in range(0, len(anchors), TILE):
        for column in range(0, len(candidates), TILE):
            yield slice(row, row + TILE), slice(column, column + TILE)


def _excluded(row_keys: torch.Tensor, column_keys: torch.Tensor) -> torch.Tensor:
    """Return (rows, columns): whether a candidate is of another group, or shares an id with the row."""
    excluded = row_keys[:, 0, None] != column_keys[None, :, 0]
    for row_id in row_keys[:, 1:].T:  # few: most queries have one answer
        for column_id in column_keys[:, 1:].T:
            excluded |= row_id[:, None] == column_id[None, :]
    return excluded
