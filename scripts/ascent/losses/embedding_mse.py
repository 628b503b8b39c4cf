"""Embeddings learned from a teacher's (Reimers and Gurevych 2020, arXiv 2004.09813, eq. 1)."""

import torch

from . import Embedded


def embedding_mse(local: Embedded) -> torch.Tensor:
    """Return for each row the mean over its texts, and over the dimensions, of (embedding - teacher's embedding)^2. A row's loss
    concerns no other row."""
    at_queries = (local.queries - local.teacher_queries.to(local.queries.dtype)).pow(2).mean(1)
    at_documents = (local.documents - local.teacher_documents.to(local.queries.dtype)).pow(2).mean(1)
    texts = 1 + torch.bincount(local.row_of_document, minlength=len(local.queries))
    return at_queries.index_add(0, local.row_of_document, at_documents) / texts
