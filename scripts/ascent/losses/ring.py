"""A log-sum-exp over all processes' documents, which travel round a ring; tile by tile, without a matrix of all
scores."""

from dataclasses import dataclass

import torch

from ..collectives import pass_on, sizes_of_all
from . import Embedded

# Scores are computed in tiles of this many rows and columns, forward and backward, so that the matrix of all scores
# never exists: at 19,200 queries and 38,400 documents it alone would take 3 GB.
TILE = 4096
# Up to this many ids of a row are compared with all columns; more are searched for among sorted ones, since a row may
# have many answers (per tile, on a CPU: 10 take 57 ms instead of 76, 100 take 69 ms instead of 826).
FEW = 4


def keys_of(local: Embedded) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what OneWay finds negatives by: group and known answers of the queries, group and id of the documents."""
    query_keys = torch.cat([local.groups[:, None], local.answers], dim=1)
    return query_keys, torch.stack([local.groups[local.row_of_document], local.document_ids], dim=1)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How OneWay turns similarities s into logits.

    temperature: s / temperature. widths: of the vectors that are concatenated in each one. false_negative_margin: a
    candidate that scores above the partner by more than this is left out. pace: Circle loss's margin m; see
    `paced_logits`.
    """

    temperature: float
    widths: tuple[int, ...]
    false_negative_margin: float | None = None
    pace: float | None = None


class OneWay(torch.autograd.Function):
    """log(exp p_i + sum_j exp s_ij) - p_i per row i, where p_i = anchor_i * partner_i / t, s_ij = anchor_i *
    candidate_j / t, and j runs over every process's candidates that are of the row's group and share no id with it; and
    the number of such candidates.

    anchors, partners: (rows, width). candidates: (columns, width), this process's own. row_keys (rows, 1 + k),
    column_keys (columns, 1 + l): int64, a group, then ids. Both results are (rows, len(widths)).

    The candidates go round the processes in a ring, so that none ever holds them all. With w_ij the softmax weights and
    w_i the partner's, the gradient at an anchor is (sum_j w_ij candidate_j + (w_i - 1) partner_i) / t, at a candidate
    sum_i w_ij anchor_i / t, at a partner (w_i - 1) anchor_i / t: the weights are recomputed from the stored logarithm
    of each row's sum, and a block's gradient goes round with it until it is home.
    """

    @staticmethod
    def forward(ctx, anchors, partners, candidates, row_keys, column_keys, scoring: Scoring):
        widths = scoring.widths
        ctx.parts = [slice(sum(widths[:i]), sum(widths[: i + 1])) for i in range(len(widths))]
        ctx.scoring, ctx.sizes = scoring, sizes_of_all(candidates)
        ctx.save_for_backward(anchors, partners, candidates, row_keys, column_keys)
        positive_scores = (
            torch.stack([(anchors[:, part] * partners[:, part]).sum(1) for part in ctx.parts], dim=1)
            / scoring.temperature
        )
        ctx.highest = None
        if scoring.false_negative_margin is not None:
            ctx.highest = positive_scores + scoring.false_negative_margin / scoring.temperature
        positive, ctx.slope = paced_logits(positive_scores, scoring, is_positive=True)
        total, count = positive.clone(), torch.zeros_like(positive)
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            next_block = (
                pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None
            )  # sent while this one is used
            for rows, columns in tiles(anchors, block[0]):
                excluded_ids = excluded_columns(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / scoring.temperature
                    excluded = _too_high(scores, excluded_ids, ctx.highest, rows, k)
                    logits, _ = paced_logits(scores, scoring)
                    logits = torch.logsumexp(logits.masked_fill_(excluded, -torch.inf), dim=1)
                    total[rows, k] = torch.logaddexp(total[rows, k], logits)
                    count[rows, k] += (~excluded).sum(1)
            block = next_block() if next_block else block
        ctx.positive, ctx.total = positive, total
        ctx.mark_non_differentiable(count)
        return total - positive, count

    @staticmethod
    def backward(ctx, gradient, _):
        anchors, partners, candidates, row_keys, column_keys = ctx.saved_tensors
        scoring = ctx.scoring
        scale = gradient / scoring.temperature  # (rows, sizes)
        positive_weight_minus_1 = torch.expm1(ctx.positive - ctx.total) * scale  # without cancellation
        positive_weight_minus_1 = positive_weight_minus_1 if ctx.slope is None else positive_weight_minus_1 * ctx.slope
        spread = torch.cat(
            [
                positive_weight_minus_1[:, k, None].expand(-1, part.stop - part.start)
                for k, part in enumerate(ctx.parts)
            ],
            dim=1,
        )
        grad_anchors, grad_partners, grad_block = spread * partners, spread * anchors, torch.zeros_like(candidates)
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            next_block = pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None
            for rows, columns in tiles(anchors, block[0]):
                excluded_ids = excluded_columns(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / scoring.temperature
                    excluded = _too_high(scores, excluded_ids, ctx.highest, rows, k)
                    logits, slope = paced_logits(scores, scoring)
                    weights = (
                        logits.sub_(ctx.total[rows, k, None])
                        .exp_()
                        .masked_fill_(excluded, 0)
                        .mul_(scale[rows, k, None])
                    )
                    weights = weights if slope is None else weights.mul_(slope)
                    grad_anchors[rows, part] += weights @ block[0][columns, part]
                    grad_block[columns, part] += weights.T @ anchors[rows, part]
            (grad_block,) = pass_on([grad_block], ctx.sizes, hop)()
            block = next_block() if next_block else block
        return grad_anchors, grad_partners, grad_block, None, None, None


def _too_high(
    scores: torch.Tensor, excluded: torch.Tensor, highest: torch.Tensor | None, rows: slice, k: int
) -> torch.Tensor:
    """Return `excluded`, with the scores that lie above the row's highest added."""
    return excluded if highest is None else excluded | (scores > highest[rows, k, None])


def paced_logits(
    scores: torch.Tensor, scoring: Scoring, is_positive: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return logits and the slope by which their gradient reaches the scores; None means 1.

    Circle loss's (Sun et al. 2020, arXiv 2002.10857), with s = temperature * score: a * (s - d) / temperature, with
    a = max(0, s + m) and d = m for negatives, a = max(0, 1 + m - s) and d = 1 - m for positives. The weight a is not
    differentiated: it is the slope.
    """
    if scoring.pace is None:
        return scores, None
    m, t = scoring.pace, scoring.temperature
    slope = torch.relu(1 + m - scores * t) if is_positive else torch.relu(scores * t + m)
    return slope * (scores - (1 - m if is_positive else m) / t), slope


def tiles(anchors: torch.Tensor, candidates: torch.Tensor):
    for row in range(0, len(anchors), TILE):
        for column in range(0, len(candidates), TILE):
            yield slice(row, row + TILE), slice(column, column + TILE)


def excluded_columns(row_keys: torch.Tensor, column_keys: torch.Tensor) -> torch.Tensor:
    """Return (rows, columns): whether a candidate is of another group, or shares an id with the row."""
    excluded = row_keys[:, 0, None] != column_keys[None, :, 0]
    row_ids = row_keys[:, 1:].contiguous()
    for column_ids in column_keys[:, 1:].T.contiguous():
        if row_ids.shape[1] <= FEW:
            for ids in row_ids.T:
                excluded |= ids[:, None] == column_ids[None, :]
            continue
        ordered = column_ids.sort().values
        places = torch.searchsorted(ordered, row_ids).clamp(max=len(ordered) - 1)  # the first of equal ones
        shared = (ordered[places] == row_ids).to(torch.uint8)
        holds = shared.new_zeros(excluded.shape).scatter_reduce_(1, places, shared, "amax")
        excluded |= holds[:, torch.searchsorted(ordered, column_ids)].bool()
    return excluded
