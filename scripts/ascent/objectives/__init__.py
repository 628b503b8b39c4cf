"""Losses, one module each. A loss sees the embeddings of the whole batch and is summed over this process's rows."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Embeddings of a batch, or of one process's share of it.

    queries: (rows, dimension). documents: (rows + negatives, dimension). positives: (rows,), the index of each row's
    positive in `documents`. query_ids, document_ids: int64 (rows,) and (documents,), equal where the texts are equal.
    """

    queries: torch.Tensor
    documents: torch.Tensor
    positives: torch.Tensor
    query_ids: torch.Tensor
    document_ids: torch.Tensor
