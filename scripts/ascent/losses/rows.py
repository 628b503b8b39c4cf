"""What belongs to the rows of a batch, declared once: for the batch as it is read, and for the batch as losses see it.

A new field is declared here, with PER_ROW or PER_DOCUMENT, and filled in where batches are made (training/data.py).
Moving it to a device, pinning it and selecting rows follow from the declaration.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Self

import torch

# One entry per row, (rows, ...), or per document, (documents, ...).
PER_ROW, PER_DOCUMENT = {"per": "row"}, {"per": "document"}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What belongs to the rows of one process's share of a batch.

    The documents of a share are its rows' positives, in the order of the rows, and then their negatives.
    """

    row_of_document: torch.Tensor = field(metadata=PER_DOCUMENT)
    """int64 (documents,): the row, counted within this share, that each document belongs to."""
    document_ids: torch.Tensor = field(metadata=PER_DOCUMENT)
    """int64 (documents,): equal where the texts are equal."""
    answers: torch.Tensor = field(metadata=PER_ROW)
    """int64 (rows, most): ids of the documents that are not negatives of each query: its own text, and all that are
    known to answer it, its positive included; padded with -1. `most` is the same in every share of the batch."""
    groups: torch.Tensor = field(metadata=PER_ROW)
    """int64 (rows,): over the whole batch, rows compete only with rows of their own group. 0 where in-batch negatives
    are on; else 1 + the row's number, so that the row is alone with its own documents."""
    labels: torch.Tensor = field(metadata=PER_ROW)
    """float32 (rows,): the score of a graded row, else NaN."""
    dataset_index: torch.Tensor = field(metadata=PER_ROW)
    """int64 (rows,): the place of each row's data set among the stage's."""
    numbers: torch.Tensor = field(metadata=PER_ROW)
    """int64 (rows,): each row's place in the whole batch."""
    weights: torch.Tensor = field(metadata=PER_ROW)
    """float32 (rows,): factors on the rows' losses."""
    teacher_scores: torch.Tensor | None = field(default=None, metadata=PER_DOCUMENT)
    """float32 (documents,): the teacher's score of each document for its row's query, NaN in data sets without one.
    None if no data set of the stage has a teacher."""
    teacher_queries: torch.Tensor | None = field(default=None, metadata=PER_ROW)
    """float32 (rows, the teacher's dimension): its embeddings of the queries, as `teacher_scores`."""
    teacher_documents: torch.Tensor | None = field(default=None, metadata=PER_DOCUMENT)
    """float32 (documents, the teacher's dimension): its embeddings of the documents, as `teacher_scores`."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the fields of this record by name, without those that are None."""
        return {f.name: value for f in fields(Rows) if (value := getattr(self, f.name)) is not None}

    def to(self, device: torch.device) -> Self:
        """Return the same with these fields on a device."""
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors().items()})

    def pin_memory(self) -> Self:
        """Return the same with these fields in pinned memory, from which a GPU copies by itself; a loader calls
        this."""
        return replace(self, **{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
