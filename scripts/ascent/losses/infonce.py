"""InfoNCE with in-batch, cross-process and mined negatives (van den Oord et al. 2018, arXiv 1807.03748, eq. 4)."""

import math
from collections.abc import Sequence

import torch

from . import Embedded, prefix, sizes_of
from .mixing import draws, mixtures, own_negatives
from .ring import OneWay, Scoring, keys_of


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
        of_rows = torch.cat([document_keys, local.document_ids[local.row_of_document][:, None]], dim=1)
        same_side.append(against(positives, queries, documents, query_keys, of_rows)[0])
    loss = corrected(_joint(across, same_side), count)
    if symmetric:
        back = corrected(*against(positives, queries, queries, positive_keys, query_keys))
        # Alone in its group, a positive has no other query to be told from.
        loss = torch.where(local.groups[:, None] == 0, (loss + back) / 2, loss)
    return loss @ torch.tensor(list(weights.values()), dtype=loss.dtype, device=loss.device)


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
    uniform = draws((local.step << 32) + local.numbers, mixing["pairwise"], mixing["seed"])
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
