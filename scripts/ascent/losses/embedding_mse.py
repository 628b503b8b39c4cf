"""Embeddings learned from a teacher (Reimers and Gurevych 2020, arXiv 2004.09813, eq. 1)."""

import torch

from . import Embedded


def embedding_mse(local: Embedded) -> torch.Tensor:
    """Return per row the mean over its texts, and over the dimensions, of (embedding - teacher's embedding)^2. A row's
    loss depends on no other row."""
    query_errors = (local.queries - local.teacher_queries.to(local.queries.dtype)).pow(2).mean(1)
    document_errors = (local.documents - local.teacher_documents.to(local.queries.dtype)).pow(2).mean(1)
    texts = 1 + torch.bincount(local.row_of_document, minlength=len(local.queries))
    return query_errors.index_add(0, local.row_of_document, document_errors) / texts
