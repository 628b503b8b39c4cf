"""A stage's objective: the sum of losses that each row has."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from ..components import code_of
from ..losses import Embedded, Objective, matryoshka
from ..settings.losses import Loss, Objectives
from ..settings.model import Contract
from ..settings.training import TrainStage

# Losses that compute all Matryoshka sizes in one pass over the batch: they take `sizes` and `normalise`, as matryoshka() does.
ONE_PASS = ("infonce",)


def load_objectives(stage: TrainStage, contract: Contract) -> Objective:
    """Return the loss of a stage: each row's is the one that its data set asks for."""
    asked = [stage.objective_of(name) for name in stage.data]
    if stage.batching == "balanced":  # rows of different data sets do not meet
        return mixed([_summed(objective, stage.matryoshka, contract.normalise) for objective in asked], range(len(asked)))
    distinct = list(dict.fromkeys(asked))
    objectives = [_summed(objective, stage.matryoshka, contract.normalise) for objective in distinct]
    return objectives[0] if len(objectives) == 1 else mixed(objectives, [distinct.index(objective) for objective in asked])


def _summed(objective: Objectives, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return the weighted sum of the losses that a recipe names."""
    terms = [(loss.weight, _load(name, loss, sizes, normalise)) for name, loss in objective.chosen.items()]
    return lambda local: sum(weight * loss(local) for weight, loss in terms)


def _load(name: str, settings: Loss, sizes: dict[int, float], normalise: bool) -> Objective:
    """Return a loss with its settings, over a stage's sizes."""
    loss = partial(code_of(settings), **settings.model_dump(exclude={"weight"}))
    return partial(loss, sizes=sizes, normalise=normalise) if name in ONE_PASS else matryoshka(loss, sizes, normalise)


def mixed(objectives: Sequence[Objective], of_source: Sequence[int]) -> Objective:
    """Return the loss that is, for each row, the one of `objectives` that `of_source` gives its data set.

    Rows with different losses do not meet: neither sees the other's documents.
    """

    def loss(local: Embedded) -> torch.Tensor:
        of = torch.tensor(of_source, device=local.dataset_index.device)
        chosen = of[local.dataset_index]
        losses = local.queries.new_zeros(len(local.queries))
        for index, objective in enumerate(objectives):
            rows, part = chosen == index, local.select(chosen == index)
            if local.queued is not None:
                part = replace(part, queued=local.queued.select(of[local.queued.dataset_index] == index))
            losses = losses.masked_scatter(rows, objective(part))
        return losses

    return loss
