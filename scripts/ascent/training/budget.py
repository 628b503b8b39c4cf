"""How many tokens a process embeds at a time where the stage does not say."""

from contextlib import suppress
from pathlib import Path

import torch

from ..collectives import largest
from ..errors import AscentError
from ..model.costs import Memory, training_memory, with_budget
from ..model.shape import read_shape, trained_weights
from ..settings.stages import StageSettings
from ..settings.training import Training
from ..tokens.table import TokenisedPairs


def with_token_budget(
    settings: StageSettings, parent: Path, tables: list[TokenisedPairs], device: torch.device, processes: int
) -> StageSettings:
    """Return the settings of a stage with a number of mini_batch_tokens, the same on all processes: the least of
    theirs.

    parent: the model to train. tables: the data sets that the stage trains on. See model.costs.with_budget.
    """
    stage, room, shape, trained = settings.stage, None, None, None
    if device.type == "cuda":
        with suppress(AscentError):  # of a model of unknown shape the memory is not known
            shape = read_shape(parent)
            room = float(torch.cuda.get_device_properties(device).total_memory)
            trained = trained_weights(parent, stage.adapter, 0) if stage.adapter else None
    texts = 1 + max(table.most_documents for table in tables)

    most = settings.contract.max_tokens.longest

    def memory(asked: Training) -> Memory:
        return training_memory(shape, asked, processes, texts=texts, max_tokens=most, trained=trained)

    (negative,) = largest(-with_budget(stage, memory, room).token_budget, device=device)
    return settings.model_copy(update={"stage": stage.model_copy(update={"mini_batch_tokens": -negative})})
