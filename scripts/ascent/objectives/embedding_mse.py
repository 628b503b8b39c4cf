"""Embeddings learned from a teacher's (Reimers and Gurevych 2020, arXiv 2004.09813, eq. 1)."""

import torch

from ..errors import AscentError
from . import Embedded


def embedding_mse(local: Embedded) -> torch.Tensor:
    """Return for each row the mean over its texts, and over the dimensions, of (embedding - teacher's embedding)^2. A row's loss
    concerns no other row.

    Raises AscentError when the teacher's embeddings have another dimension.
    """
    found, expected = local.queries.shape[1], local.teacher_queries.shape[1]
    if found != expected:
        raise AscentError(
            f"the teacher's embeddings have {expected} dimensions, the model's {found}, which the objective 'embedding_mse' "
            "cannot compare; take a teacher of the same dimension, or another objective."
        )
    at_queries = (local.queries - local.teacher_queries.to(local.queries.dtype)).pow(2).mean(1)
    at_documents = (local.documents - local.teacher_documents.to(local.queries.dtype)).pow(2).mean(1)
    texts = 1 + torch.bincount(local.owners, minlength=len(local.queries))
    return at_queries.index_add(0, local.owners, at_documents) / texts
