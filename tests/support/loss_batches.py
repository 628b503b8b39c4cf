"""Small batches of embeddings for the tests of losses."""

import torch

from ascent.losses import Embedded
from ascent.losses.infonce import infonce

ROWS, DIMENSION, TEMPERATURE = 6, 5, 0.1
# All further scores in the sum of infonce.
TERMS = ("query-query", "document-query", "document-document")


def embeddings(rows: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, DIMENSION, generator=draw, dtype=dtype), dim=-1)


def batch_of(queries: torch.Tensor, documents: torch.Tensor, document_ids=None, answers=None, **more) -> Embedded:
    """A batch whose first documents are the positives; all texts differ unless ids are given, and the rows share the
    rest."""
    ids = torch.arange(len(documents)) if document_ids is None else torch.tensor(document_ids)
    parts = {
        "row_of_document": torch.arange(len(documents)) % len(queries),
        "groups": torch.zeros(len(queries), dtype=torch.int64),
        "labels": torch.full((len(queries),), torch.nan),
        "dataset_index": torch.zeros(len(queries), dtype=torch.int64),
        "answers": ids[: len(queries), None] if answers is None else torch.tensor(answers),
        "numbers": torch.arange(len(queries)),
        "weights": torch.ones(len(queries)),
    }
    return Embedded(queries=queries, documents=documents, document_ids=ids, **parts | more)


def loss_of(batch: Embedded, symmetric: bool = False, **more) -> torch.Tensor:
    return infonce(batch, temperature=TEMPERATURE, symmetric=symmetric, **more).sum()
