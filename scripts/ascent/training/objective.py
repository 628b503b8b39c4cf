"""A stage's objective: the sum of each row's losses."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.distributed as dist

from ..components import code_of
from ..losses import Embedded, Objective, matryoshka
from ..settings.contrastive import Contrastive
from ..settings.losses import Loss, Objectives
from ..settings.model import Contract
from .data import Batch
from .queue import Queue


def load_objectives(stage: Contrastive, contract: Contract) -> Objective:
    """Return the loss of a stage: each row has the one of its data set."""
    chosen = [stage.objective_of(name) for name in stage.data]
    if stage.batching == "balanced":  # rows of different data sets do not interact
        return mixed(
            [_summed(objective, stage.matryoshka, contract.normalise) for objective in chosen], range(len(chosen))
        )
    distinct = list(dict.fromkeys(chosen))
    objectives = [_summed(objective, stage.matryoshka, contract.normalise) for objective in distinct]
    return (
        objectives[0]
        if len(objectives) == 1
        else mixed(objectives, [distinct.index(objective) for objective in chosen])
    )


def chance_level(objective: Objective, batch: Batch, queue: Queue | None, like: torch.Tensor, step: int) -> float:
    """Return the whole batch's mean loss if all its embeddings were equal, which for infonce is the logarithm of the
    number of candidates. like: a vector of the embeddings' dimension, on their device. Called by every process."""
    rows, queued = batch.to(like.device), queue.candidates(batch) if queue else None
    if queued is not None:
        queued = replace(queued, embeddings=like.expand(len(queued.ids), -1))
    queries, documents = like.expand(batch.rows, -1), like.expand(len(batch.tokens) - batch.rows, -1)
    with torch.no_grad():
        local = Embedded(**rows.tensors(), queries=queries, documents=documents, queued=queued, step=step)
        total = (rows.weights * objective(local)).sum().double()
    dist.all_reduce(total)
    return float(total) / batch.global_rows


def _summed(objective: Objectives, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return the weighted sum of the losses that a recipe names."""
    terms = [(loss.weight, _load(loss, sizes, normalise)) for loss in objective.chosen.values()]
    return lambda local: sum(weight * loss(local) for weight, loss in terms)


def _load(settings: Loss, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return a loss with its settings, over a stage's Matryoshka sizes."""
    loss = partial(code_of(settings), **settings.model_dump(exclude={"weight"}))
    return partial(loss, sizes=sizes, normalise=normalise) if settings.one_pass else matryoshka(loss, sizes, normalise)


def mixed(objectives: Sequence[Objective], by_dataset: Sequence[int]) -> Objective:
    """Return the loss that is, per row, the one of `objectives` whose index `by_dataset` gives for its data set.

    Rows with different losses do not interact: neither sees the other's documents.
    """

    def loss(local: Embedded) -> torch.Tensor:
        place = torch.tensor(by_dataset, device=local.dataset_index.device)
        chosen = place[local.dataset_index]
        losses = local.queries.new_zeros(len(local.queries))
        for index, objective in enumerate(objectives):
            rows, part = chosen == index, local.select(chosen == index)
            if local.queued is not None:
                part = replace(part, queued=local.queued.select(place[local.queued.dataset_index] == index))
            losses = losses.masked_scatter(rows, objective(part))
        return losses

    return loss
