"""InfoNCE with in-batch, cross-process and mined negatives (van den Oord et al. 2018, arXiv 1807.03748, eq. 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..mixing import draws, mixtures, own_negatives
from ..training.collectives import pass_on, sizes_of_all
from . import Embedded, prefix, sizes_of

# Scores are computed in blocks of this many rows and columns, forward and backward, so that the matrix of all scores, which
# would bind the batch to the memory, never exists: at 19,200 queries and 38,400 documents it alone would hold 3 GB.
TILE = 4096
# So many ids of a row are compared with all columns'; more are looked for among them, since a row may have very many answers (on
# a CPU 10 take 57 ms a tile and not 76, 100 take 69 and not 826).
FEW = 4


def infonce(
    local: Embedded,
    *,
    temperature: float,
    symmetric: bool = False,
    terms: Sequence[str] = (),
    false_negative_margin: float | None = None,
    tau_plus: float = 0,
    focal_gamma: float = 0,
    mixing: dict | None = None,
    sizes: dict[int, float] | None = None,
    normalise: bool = True,
) -> torch.Tensor:
    """Return -log softmax(s(q, d+) / temperature) over the whole batch's documents for each of this process's rows.

    A document is no negative of a query when its text is a known answer to it (among them the positive itself), wherever
    in the whole batch it stands, or when its row is of another group: such columns are left out of the softmax. `symmetric`
    averages with the same loss in the other direction, each positive against the batch's queries. Queued documents are candidates
    like the batch's, of the queries and not in the terms or the other direction. `sizes`: see
    objectives.matryoshka; all sizes are computed in one pass over the batch.

    terms: more scores in the softmax's sum, of the query with queries, of the positive with queries and of the positive with
    documents (GTE, Li et al. 2023, arXiv 2308.03281; in Qwen3-Embedding, Zhang et al. 2025, arXiv 2506.05176, first and last).
    Left out there are queries that share an answer with the row, and documents of rows whose positive answers it.
    false_negative_margin: a score above s(q, d+) + margin is left out, too (the mask of arXiv 2506.05176).
    tau_plus, focal_gamma: see _debiased and _focal. mixing: settings of further, synthetic negatives, see mixing.py; each row
    has its own, as in MoCHi, and no other row is told from them.
    """
    weights = sizes_of(sizes or {}, local.queries.shape[1])

    def sized(side: torch.Tensor) -> torch.Tensor:
        return torch.cat([prefix(side, size, normalise) for size in weights], dim=1) if len(weights) > 1 else side

    queries, documents = sized(local.queries), sized(local.documents)
    positives = documents[: len(queries)]
    query_keys, document_keys = keys_of(local)
    positive_keys = document_keys[: len(queries)]
    scoring = Scoring(temperature=temperature, widths=tuple(weights), false_negative_margin=false_negative_margin)

    def against(anchors, partners, candidates, row_keys, column_keys) -> tuple[torch.Tensor, torch.Tensor]:
        return OneWay.apply(anchors, partners, candidates, row_keys, column_keys, scoring)

    def corrected(loss: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        if tau_plus:
            parts = zip(*(side.split(scoring.widths, dim=1) for side in (queries, positives)), strict=True)
            scores = torch.stack([(query * positive).sum(1) for query, positive in parts], dim=1)
            loss = _debiased(loss, count, torch.exp(-(1 + scores) / temperature), tau_plus)
        return _focal(loss, focal_gamma) if focal_gamma else loss

    candidates, candidate_keys = documents, document_keys
    if local.queued is not None:
        of_queued = torch.stack([torch.zeros_like(local.queued.ids), local.queued.ids], dim=1)
        candidates, candidate_keys = torch.cat([documents, sized(local.queued.embeddings)]), torch.cat([document_keys, of_queued])
    loss, count = against(queries, positives, candidates, query_keys, candidate_keys)
    if mixing:
        loss, count = _with_mixtures(loss, count, local, queries, documents, mixing, scoring, normalise)
    across, same_side = [loss], []
    if "query-query" in terms:
        known = query_keys.masked_fill(query_keys == -1, -2)  # what fills up the answers of one row is no answer of another
        same_side.append(against(queries, positives, queries, query_keys, known)[0])
    if "document-query" in terms:
        across.append(against(positives, queries, queries, positive_keys, query_keys)[0])
    if "document-document" in terms:
        of_rows = torch.cat([document_keys, local.document_ids[local.owners][:, None]], dim=1)
        same_side.append(against(positives, queries, documents, query_keys, of_rows)[0])
    loss = corrected(_joint(across, same_side), count)
    if symmetric:
        back = corrected(*against(positives, queries, queries, positive_keys, query_keys))
        # Alone in its group, a positive has no other query to be told from.
        loss = torch.where(local.groups[:, None] == 0, (loss + back) / 2, loss)
    return loss @ torch.tensor(list(weights.values()), dtype=loss.dtype, device=loss.device)


def keys_of(local: Embedded) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what OneWay tells the negatives by: of queries their group and known answers, of documents theirs and their id."""
    query_keys = torch.cat([local.groups[:, None], local.answers], dim=1)
    return query_keys, torch.stack([local.groups[local.owners], local.document_ids], dim=1)


def _joint(across: list[torch.Tensor], same_side: list[torch.Tensor]) -> torch.Tensor:
    """Return log of the sum of 1 + n over `across` and n over `same_side`, of terms log(1 + n): n is a sum over negatives and 1
    the positive, which GTE counts in both directions across, and which is no score of a query with queries."""
    if len(across) + len(same_side) == 1:
        return across[0]
    every = torch.stack([*across, *same_side])
    highest = every.detach().amax(0)  # the logarithm's argument is then never below 1
    return highest + torch.log(torch.exp(every - highest).sum(0) - len(same_side) * torch.exp(-highest))


def _with_mixtures(
    loss: torch.Tensor,
    count: torch.Tensor,
    local: Embedded,
    queries: torch.Tensor,
    documents: torch.Tensor,
    mixing: dict,
    scoring: "Scoring",
    normalise: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses log(1 + n) over negatives, and how many these are, (rows, sizes), with each row's mixtures among them."""
    own = own_negatives(local)
    if own.shape[1] < 2:
        return loss, count
    uniform = draws(local.numbers, mixing["pairwise"], mixing["seed"])
    margins = []
    for query, document in zip(*(side.split(scoring.widths, dim=1) for side in (queries, documents)), strict=True):
        synthetic = mixtures(
            query, document, own, uniform, listwise=mixing["listwise"], temperature=scoring.temperature, normalise=normalise
        )
        scores = (synthetic @ query[:, :, None])[..., 0]
        margins.append(scores - (query * document[: len(query)]).sum(1, keepdim=True))
    margins = torch.stack(margins, dim=2)  # (rows, mixtures, sizes)
    excluded = (own[:, 1] < 0)[:, None, None].expand_as(margins)
    if scoring.false_negative_margin is not None:
        excluded = excluded | (margins > scoring.false_negative_margin)
    logits = (margins / scoring.temperature).masked_fill(excluded, torch.finfo(margins.dtype).min)
    return torch.logaddexp(loss, torch.logsumexp(logits, dim=1)), count + (~excluded).sum(1)


def _debiased(loss: torch.Tensor, count: torch.Tensor, floor: torch.Tensor, tau_plus: float) -> torch.Tensor:
    """Return log(1 + N * max((n / N - tau_plus) / (1 - tau_plus), floor)) of a loss log(1 + n) over N negatives, of which a share
    tau_plus is taken for positives (Chuang et al. 2020, arXiv 2007.00224; all are relative to the positive's exp(score))."""
    inner = 1 - tau_plus * (1 + count) * torch.exp(-loss)
    corrected = loss + torch.log(inner.clamp(min=torch.finfo(loss.dtype).tiny)) - math.log1p(-tau_plus)
    return torch.maximum(corrected, torch.log1p(count * floor))


def _focal(loss: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return (1 - p)^gamma * -log p of a loss -log p (focal loss, Lin et al. 2017, arXiv 1708.02002, eq. 4; on InfoNCE
    KaLM-Embedding-V2, arXiv 2506.20923)."""
    return (-torch.expm1(-loss)).clamp(min=torch.finfo(loss.dtype).tiny) ** gamma * loss


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How OneWay makes logits of similarities s.

    temperature: s / temperature. widths: each vector is several, one behind the other. false_negative_margin: a candidate
    scoring above the partner by more than this is left out. pace: Circle loss's margin m; see `_paced`.
    """

    temperature: float
    widths: tuple[int, ...]
    false_negative_margin: float | None = None
    pace: float | None = None


class OneWay(torch.autograd.Function):
    """log(exp p_i + sum_j exp s_ij) - p_i for each row i, where p_i = anchor_i * partner_i / t, s_ij = anchor_i * candidate_j
    / t, and j runs over every process's candidates that are of the row's group and share no id with it; and how many these are.

    anchors, partners: (rows, width). candidates: (columns, width), this process's own. row_keys (rows, 1 + k), column_keys
    (columns, 1 + l): int64, a group, then ids. The results are (rows, len(widths)).

    The candidates go round the processes in a ring, so none ever holds them all. With w_ij the softmax weights and w_i the
    partner's, the gradient at an anchor is (sum_j w_ij candidate_j + (w_i - 1) partner_i) / t, at a candidate sum_i w_ij
    anchor_i / t, at a partner (w_i - 1) anchor_i / t: the weights are computed again from the stored logarithm of each row's
    sum, and a block's gradient goes round with it until it is at home.
    """

    @staticmethod
    def forward(ctx, anchors, partners, candidates, row_keys, column_keys, scoring: Scoring):
        widths = scoring.widths
        ctx.parts = [slice(sum(widths[:i]), sum(widths[: i + 1])) for i in range(len(widths))]
        ctx.scoring, ctx.sizes = scoring, sizes_of_all(candidates)
        ctx.save_for_backward(anchors, partners, candidates, row_keys, column_keys)
        alike = torch.stack([(anchors[:, part] * partners[:, part]).sum(1) for part in ctx.parts], dim=1) / scoring.temperature
        ctx.highest = None
        if scoring.false_negative_margin is not None:
            ctx.highest = alike + scoring.false_negative_margin / scoring.temperature
        positive, ctx.slope = _paced(alike, scoring, of_positive=True)
        total, count = positive.clone(), torch.zeros_like(positive)
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            coming = pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None  # while this one is computed with
            for rows, columns in _tiles(anchors, block[0]):
                known = excluded_columns(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / scoring.temperature
                    excluded = _too_high(scores, known, ctx.highest, rows, k)
                    logits, _ = _paced(scores, scoring)
                    logits = torch.logsumexp(logits.masked_fill_(excluded, -torch.inf), dim=1)
                    total[rows, k] = torch.logaddexp(total[rows, k], logits)
                    count[rows, k] += (~excluded).sum(1)
            block = coming() if coming else block
        ctx.positive, ctx.total = positive, total
        ctx.mark_non_differentiable(count)
        return total - positive, count

    @staticmethod
    def backward(ctx, gradient, _):
        anchors, partners, candidates, row_keys, column_keys = ctx.saved_tensors
        scoring = ctx.scoring
        scale = gradient / scoring.temperature  # (rows, sizes)
        short = torch.expm1(ctx.positive - ctx.total) * scale  # the partner's weight less 1, without cancellation
        short = short if ctx.slope is None else short * ctx.slope
        spread = torch.cat([short[:, k, None].expand(-1, part.stop - part.start) for k, part in enumerate(ctx.parts)], dim=1)
        at_anchors, at_partners, at_block = spread * partners, spread * anchors, torch.zeros_like(candidates)
        block = [candidates, column_keys]
        for hop in range(len(ctx.sizes)):
            coming = pass_on(block, ctx.sizes, hop) if hop + 1 < len(ctx.sizes) else None
            for rows, columns in _tiles(anchors, block[0]):
                known = excluded_columns(row_keys[rows], block[1][columns])
                for k, part in enumerate(ctx.parts):
                    scores = anchors[rows, part] @ block[0][columns, part].T / scoring.temperature
                    excluded = _too_high(scores, known, ctx.highest, rows, k)
                    logits, slope = _paced(scores, scoring)
                    weights = logits.sub_(ctx.total[rows, k, None]).exp_().masked_fill_(excluded, 0).mul_(scale[rows, k, None])
                    weights = weights if slope is None else weights.mul_(slope)
                    at_anchors[rows, part] += weights @ block[0][columns, part]
                    at_block[columns, part] += weights.T @ anchors[rows, part]
            (at_block,) = pass_on([at_block], ctx.sizes, hop)()
            block = coming() if coming else block
        return at_anchors, at_partners, at_block, None, None, None


def _too_high(scores: torch.Tensor, known: torch.Tensor, highest: torch.Tensor | None, rows: slice, k: int) -> torch.Tensor:
    """Return `known` and which scores lie above the row's highest."""
    return known if highest is None else known | (scores > highest[rows, k, None])


def _paced(scores: torch.Tensor, scoring: Scoring, of_positive: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return logits and the slope by which their gradient reaches the scores; none is 1.

    Circle loss's (Sun et al. 2020, arXiv 2002.10857), with s = temperature * score: a * (s - d) / temperature, with
    a = max(0, s + m) and d = m for negatives, a = max(0, 1 + m - s) and d = 1 - m for positives. The weight a is no part of the
    gradient's chain: it is the slope.
    """
    if scoring.pace is None:
        return scores, None
    m, t = scoring.pace, scoring.temperature
    slope = torch.relu(1 + m - scores * t) if of_positive else torch.relu(scores * t + m)
    return slope * (scores - (1 - m if of_positive else m) / t), slope


def _tiles(anchors: torch.Tensor, candidates: torch.Tensor):
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
        found = torch.searchsorted(ordered, row_ids).clamp(max=len(ordered) - 1)  # the first of equal ones
        shared = (ordered[found] == row_ids).to(torch.uint8)
        holds = shared.new_zeros(excluded.shape).scatter_reduce_(1, found, shared, "amax")
        excluded |= holds[:, torch.searchsorted(ordered, column_ids)].bool()
    return excluded
