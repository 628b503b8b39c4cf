"""Losses, one module each, named as recipes name them, all with the same function:

    objective(stage)    return loss(local, batch), summed over this process's rows

`local` are this process's embeddings, `batch` those of all processes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import torch

from ..settings import TrainStage


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Embeddings of a batch, or of one process's share of it.

    queries: (rows, dimension). documents: (rows + negatives, dimension). positives: (rows,), the index of each row's
    positive in `documents`. document_ids: int64 (documents,), equal where the texts are equal. answers: int64
    (rows, most), the ids of all documents known to answer each row's query, its positive among them, filled up with -1.
    """

    queries: torch.Tensor
    documents: torch.Tensor
    positives: torch.Tensor
    document_ids: torch.Tensor
    answers: torch.Tensor


Objective = Callable[[Embedded, Embedded], torch.Tensor]


def load_objective(stage: TrainStage) -> Objective:
    """Return the loss that a stage names, with the stage's settings."""
    return import_module(f".{stage.objective}", __name__).objective(stage)
