"""Losses, one module each, named as recipes name them, each with a function of the same name:

    <name>(local, **settings)    return one value per local row

`local` holds this process's embeddings, `settings` are those of settings/losses.py. A loss that compares rows of
several processes does so itself (collectives.py), so every process calls every loss of its stage, in the same order,
even without rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import torch

from ..model.token_scores import TokenOutputs
from .rows import PER_DOCUMENT, PER_ROW, Rows


@dataclass(frozen=True, kw_only=True)
class Queued:
    """One process's share of a queue of earlier documents: constants, and candidates of every process's rows of group
    0.

    embeddings: (entries, dimension). ids: int64 (entries,), as `document_ids`. dataset_index: int64 (entries,).
    """

    embeddings: torch.Tensor
    ids: torch.Tensor
    dataset_index: torch.Tensor

    def select(self, entries: torch.Tensor) -> "Queued":
        """Return these entries (a mask)."""
        return Queued(
            embeddings=self.embeddings[entries], ids=self.ids[entries], dataset_index=self.dataset_index[entries]
        )


@dataclass(frozen=True, kw_only=True)
class Embedded(Rows):
    """One process's share of a batch, embedded."""

    queries: torch.Tensor = field(metadata=PER_ROW)
    """(rows, dimension)."""
    documents: torch.Tensor = field(metadata=PER_DOCUMENT)
    """(documents, dimension): the rows' positives in the same order, then their negatives."""
    query_tokens: TokenOutputs | None = field(default=None, metadata=PER_ROW)
    """What token-level heads give for the tokens of the queries. None if the model has no such head."""
    document_tokens: TokenOutputs | None = field(default=None, metadata=PER_DOCUMENT)
    """Likewise for the tokens of the documents."""
    queued: Queued | None = None
    """Further candidates."""
    step: int = 0
    """The step, for losses that draw at random."""

    @property
    def positives(self) -> torch.Tensor:
        """The positive of each row, (rows, dimension)."""
        return self.documents[: len(self.queries)]

    def select(self, rows: torch.Tensor) -> "Embedded":
        """Return these rows (a mask) and what belongs to them."""
        chosen = {"row": rows, "document": rows[self.row_of_document]}
        parts = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if "per" in f.metadata and value is not None:
                mask = chosen[f.metadata["per"]]
                parts[f.name] = value.select(mask) if isinstance(value, TokenOutputs) else value[mask]
        place = torch.cumsum(rows, 0) - 1
        return replace(self, **parts | {"row_of_document": place[parts["row_of_document"]]})


Objective = Callable[[Embedded], torch.Tensor]


def prefix(embeddings: torch.Tensor, size: int, normalise: bool) -> torch.Tensor:
    """Return the first `size` dimensions, scaled to length 1 again if the whole embedding is."""
    if size == embeddings.shape[1]:
        return embeddings
    cut = embeddings[:, :size]
    return torch.nn.functional.normalize(cut, dim=-1) if normalise else cut


def matryoshka(objective: Objective, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return the weighted sum of a loss over prefixes of the embeddings and of the teacher's (Kusupati et al. 2022,
    arXiv 2205.13147, eq. 1)."""
    if not sizes:
        return objective

    def loss(local: Embedded) -> torch.Tensor:
        total = local.queries.new_zeros(len(local.queries))
        embeddings = ("queries", "documents", "teacher_queries", "teacher_documents")
        sides = {name: value for name in embeddings if (value := getattr(local, name)) is not None}
        dimension = local.queries.shape[1]
        for size, weight in sizes_of(sizes, dimension).items():
            cut = {name: prefix(value, size, normalise) for name, value in sides.items()} if size < dimension else {}
            total = total + weight * objective(replace(local, **cut))
        return total

    return loss


def sizes_of(sizes: dict[int, float], dimension: int) -> dict[int, float]:
    """Return the prefixes' sizes and weights; the whole embedding has weight 1 unless its weight is given."""
    return {dimension: 1.0} | sizes
