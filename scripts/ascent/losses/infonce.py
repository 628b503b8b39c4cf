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
    """Return -log softmax(s(q, d+) / temperature) over the whole batch's documents, per local row.

    A document is not a negative of a query if its text is a known answer to it (such as the positive itself) or the
    query's own, wherever it stands in the whole batch, or if its row is of another group: such columns are left out of
    the softmax.
    `symmetric` averages with the same loss in the other direction, each positive against the batch's queries. Queued
    documents are candidates like the batch's, of the queries only, not of the terms or the other direction. sizes: see
    losses.matryoshka; all sizes are computed in one pass over the batch.

    terms: more scores in the softmax's sum, of the query with queries, of the positive with queries and of the positive
    with documents (GTE, Li et al. 2023, arXiv 2308.03281; in Qwen3-Embedding, Zhang et al. 2025, arXiv 2506.05176, the
    first and the last). Queries that share an answer with the row are left out there, and documents of rows whose
    positive answers it. false_negative_margin: a score above s(q, d+) + margin is left out, too (the mask of arXiv
    2506.05176). tau_plus, focal_gamma: see _debiased and _focal. mixing: settings of further, synthetic negatives, see
    mixing.py; each row has its own, as in MoCHi, which are not negatives of other rows.
    """
    weights = sizes_of(sizes or {}, local.queries.shape[1])
    scoring = Scoring(temperature=temperature, widths=tuple(weights), false_negative_margin=false_negative_margin)
    sides = _Sides(local, weights, normalise)

    def corrected(loss: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        if tau_plus:
            parts = zip(*(side.split(scoring.widths, dim=1) for side in (sides.queries, sides.positives)), strict=True)
            scores = torch.stack([(query * positive).sum(1) for query, positive in parts], dim=1)
            loss = _debiased(loss, count, torch.exp(-(1 + scores) / temperature), tau_plus)
        return _focal(loss, focal_gamma) if focal_gamma else loss

    loss, count = sides.query_document(scoring)
    if mixing:
        loss, count = _with_mixtures(loss, count, local, sides.queries, sides.documents, mixing, scoring, normalise)
    across, same_side = [loss], []
    if "query-query" in terms:
        same_side.append(sides.query_query(scoring))
    if "document-query" in terms:
        across.append(sides.document_query(scoring)[0])
    if "document-document" in terms:
        same_side.append(sides.document_document(scoring))
    loss = corrected(_joint(across, same_side), count)
    if symmetric:
        back = corrected(*sides.document_query(scoring))
        # Alone in its group, a positive has no other query as a negative.
        loss = torch.where(local.groups[:, None] == 0, (loss + back) / 2, loss)
    return loss @ torch.tensor(list(weights.values()), dtype=loss.dtype, device=loss.device)


class _Sides:
    """The embeddings of queries and documents at all sizes, one behind the other, and the four ways to score them."""

    def __init__(self, local: Embedded, sizes: dict[int, float], normalise: bool):
        def sized(side: torch.Tensor) -> torch.Tensor:
            return torch.cat([prefix(side, size, normalise) for size in sizes], dim=1) if len(sizes) > 1 else side

        self.queries, self.documents = sized(local.queries), sized(local.documents)
        self.positives = self.documents[: len(self.queries)]
        self.query_keys, self.document_keys = keys_of(local)
        self.positive_keys = self.document_keys[: len(self.queries)]
        self._local = local
        self._queued = None if local.queued is None else sized(local.queued.embeddings)

    def query_document(self, scoring: Scoring) -> tuple[torch.Tensor, torch.Tensor]:
        """Score queries against documents, the queued ones included: log(1 + n) and the number of negatives, see
        OneWay."""
        candidates, keys = self.documents, self.document_keys
        if self._queued is not None:
            ids = self._local.queued.ids
            queued_keys = torch.stack([torch.zeros_like(ids), ids], dim=1)
            candidates, keys = torch.cat([candidates, self._queued]), torch.cat([keys, queued_keys])
        return OneWay.apply(self.queries, self.positives, candidates, self.query_keys, keys, scoring)

    def query_query(self, scoring: Scoring) -> torch.Tensor:
        """Score queries against queries."""
        # The padding of one row's answers is not an answer of another row.
        keys = self.query_keys.masked_fill(self.query_keys == -1, -2)
        return OneWay.apply(self.queries, self.positives, self.queries, self.query_keys, keys, scoring)[0]

    def document_query(self, scoring: Scoring) -> tuple[torch.Tensor, torch.Tensor]:
        """Score positives against queries, see query_document."""
        return OneWay.apply(self.positives, self.queries, self.queries, self.positive_keys, self.query_keys, scoring)

    def document_document(self, scoring: Scoring) -> torch.Tensor:
        """Score positives against documents."""
        row_ids = self._local.document_ids[self._local.row_of_document]
        keys = torch.cat([self.document_keys, row_ids[:, None]], dim=1)
        return OneWay.apply(self.positives, self.queries, self.documents, self.query_keys, keys, scoring)[0]


def _joint(across: list[torch.Tensor], same_side: list[torch.Tensor]) -> torch.Tensor:
    """Return the log of the sum of 1 + n over `across` and n over `same_side`, given terms log(1 + n).

    n is a sum over negatives and 1 is the positive, which GTE counts in both directions across; no score of a query
    with queries is a positive's."""
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
    """Return losses log(1 + n) over negatives and the number of negatives, (rows, sizes), with each row's mixtures
    added."""
    own = own_negatives(local)
    if own.shape[1] < 2:
        return loss, count
    uniform = draws((local.step << 32) + local.numbers, mixing["pairwise"], mixing["seed"])
    margins = []
    for query, document in zip(*(side.split(scoring.widths, dim=1) for side in (queries, documents)), strict=True):
        synthetic = mixtures(
            query,
            document,
            own,
            uniform,
            listwise=mixing["listwise"],
            temperature=scoring.temperature,
            normalise=normalise,
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
    """Return log(1 + N * max((n / N - tau_plus) / (1 - tau_plus), floor)) of a loss log(1 + n) over N negatives,
    assuming that a share tau_plus of them are positives (Chuang et al. 2020, arXiv 2007.00224; all are relative to the
    positive's exp(score))."""
    inner = 1 - tau_plus * (1 + count) * torch.exp(-loss)
    corrected = loss + torch.log(inner.clamp(min=torch.finfo(loss.dtype).tiny)) - math.log1p(-tau_plus)
    return torch.maximum(corrected, torch.log1p(count * floor))


def _focal(loss: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return (1 - p)^gamma * -log p of a loss -log p (focal loss, Lin et al. 2017, arXiv 1708.02002, eq. 4; on InfoNCE
    KaLM-Embedding-V2, arXiv 2506.20923)."""
    return (-torch.expm1(-loss)).clamp(min=torch.finfo(loss.dtype).tiny) ** gamma * loss
