"""Losses, one module each, named as recipes name them, each with a function of the same name:

    <name>(local, **settings)    return one value for each of this process's rows

`local` are this process's embeddings, `settings` those of settings/losses.py. A loss that compares rows of several processes
does so itself (collectives.py), so every process calls every loss of its stage, in the same order, even with no row.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch

from ..model.token_scores import TokenOutputs


@dataclass(frozen=True, kw_only=True)
class Queued:
    """One process's share of a queue of earlier documents: constants, and candidates of every process's rows of group 0.

    embeddings: (entries, dimension). ids: int64 (entries,), as `document_ids`. sources: int64 (entries,), the number of each
    one's data set.
    """

    embeddings: torch.Tensor
    ids: torch.Tensor
    sources: torch.Tensor

    def of(self, entries: torch.Tensor) -> "Queued":
        """Return these entries (a mask)."""
        return Queued(embeddings=self.embeddings[entries], ids=self.ids[entries], sources=self.sources[entries])


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """One process's share of a batch, embedded.

    queries: (rows, dimension). documents: (documents, dimension), the rows' positives in the same order, then their negatives.
    owners: int64 (documents,), the row that each document belongs to. document_ids: int64 (documents,), equal where the
    texts are equal. answers: int64 (rows, most), the ids of all documents known to answer each row's query, its positive among
    them, filled up with -1. groups: int64 (rows,): in the whole batch, rows compete only with those of their own group.
    labels: (rows,), of graded pairs, else NaN. sources: int64 (rows,), the number of each row's data set. numbers: int64 (rows,),
    the step times 2^32 and each row's place in the whole batch, for losses that draw at random. queued: more candidates.
    teacher_scores: (documents,), the teacher's score of each document for its row's query, NaN where the row's data set has
    none; nothing where no data set of the stage has a teacher. teacher_queries, teacher_documents: likewise its embeddings,
    (rows, its dimension) and (documents, its dimension). query_tokens, document_tokens: what heads beside the embedding give for
    the tokens of the queries and of the documents; nothing where the model has none.
    """

    queries: torch.Tensor
    documents: torch.Tensor
    owners: torch.Tensor
    document_ids: torch.Tensor
    answers: torch.Tensor
    groups: torch.Tensor
    labels: torch.Tensor
    sources: torch.Tensor
    numbers: torch.Tensor
    teacher_scores: torch.Tensor | None = None
    teacher_queries: torch.Tensor | None = None
    teacher_documents: torch.Tensor | None = None
    queued: Queued | None = None
    query_tokens: TokenOutputs | None = None
    document_tokens: TokenOutputs | None = None

    @property
    def positives(self) -> torch.Tensor:
        """The positive of each row, (rows, dimension)."""
        return self.documents[: len(self.queries)]

    def of(self, rows: torch.Tensor) -> "Embedded":
        """Return these rows (a mask) and what belongs to them."""
        kept = rows[self.owners]
        place = torch.cumsum(rows, 0) - 1
        of_documents = {"documents", "owners", "document_ids", "teacher_scores", "teacher_documents"}
        given = {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), torch.Tensor)}
        parts = {name: value[kept if name in of_documents else rows] for name, value in given.items()}
        return Embedded(
            **parts | {"owners": place[parts["owners"]]},
            queued=self.queued,
            query_tokens=self.query_tokens and self.query_tokens.of(rows),
            document_tokens=self.document_tokens and self.document_tokens.of(kept),
        )


Objective = Callable[[Embedded], torch.Tensor]


def prefix(embeddings: torch.Tensor, size: int, normalise: bool) -> torch.Tensor:
    """Return the first `size` dimensions, of length 1 again where the whole embedding is."""
    if size == embeddings.shape[1]:
        return embeddings
    cut = embeddings[:, :size]
    return torch.nn.functional.normalize(cut, dim=-1) if normalise else cut


def matryoshka(objective: Objective, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return the sum of a loss over prefixes of the embeddings, and of a teacher's, each with its weight (Kusupati et al. 2022,
    arXiv 2205.13147, eq. 1)."""
    if not sizes:
        return objective

    def loss(local: Embedded) -> torch.Tensor:
        total = local.queries.new_zeros(len(local.queries))
        embeddings = ("queries", "documents", "teacher_queries", "teacher_documents")
        given = {name: value for name in embeddings if (value := getattr(local, name)) is not None}
        dimension = local.queries.shape[1]
        for size, weight in sizes_of(sizes, dimension).items():
            cut = {name: prefix(value, size, normalise) for name, value in given.items()} if size < dimension else {}
            total = total + weight * objective(replace(local, **cut))
        return total

    return loss


def sizes_of(sizes: dict[int, float], dimension: int) -> dict[int, float]:
    """Return the prefixes' sizes and weights; the whole embedding has weight 1 unless it is among them."""
    return {dimension: 1.0} | sizes
