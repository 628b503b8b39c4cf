"""What differs between the kinds of training that the loop runs: the data, what DeepSpeed wraps, and the step."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from ..model import EmbeddingModel
from ..objectives import load_objectives
from ..settings import PretrainStage, StageSettings, Training, TrainStage
from .data import Batch, TrainingData
from .engine import StepResult, train_step
from .pretraining import Pretraining
from .queue import Queue


class Method(Protocol):
    """A kind of training, made of the model, its tokenizer and the stage's settings.

    Data: made of tables and settings, it has `schedule()` and `batch(rows, rank=, world=)`. module: what DeepSpeed wraps; its
    `backbone` is what is kept.
    """

    Data: ClassVar[type]
    module: torch.nn.Module

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings): ...

    def step(self, engine, batch: Any, step: int) -> StepResult:
        """Take optimizer step `step`, from 0, on a share of a batch of `Data`."""

    def save(self, folder: Path) -> None:
        """Write what this process keeps from step to step, beside the engine's state, into a checkpoint's folder."""

    def load(self, folder: Path, processes: int) -> None:
        """Go on with what so many processes saved."""


class Contrastive:
    """Losses on embeddings."""

    Data = TrainingData

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings):
        assert isinstance(settings.stage, TrainStage)
        self.module, self._stage = model, settings.stage
        self._objective = load_objectives(settings.stage, settings.contract)
        self._pad_id = tokenizer.pad_token_id or 0
        self._queue = Queue(settings.stage, model) if settings.stage.queue else None

    def step(self, engine, batch: Batch, step: int) -> StepResult:
        """Take optimizer step `step`, see train_step."""
        return train_step(engine, batch, self._objective, self._stage, step, self._pad_id, self._queue)

    def save(self, folder: Path) -> None:
        """Write the queue."""
        if self._queue:
            self._queue.save(folder)

    def load(self, folder: Path, processes: int) -> None:
        """Go on with the queue."""
        if self._queue:
            self._queue.load(folder, processes)


METHODS: dict[type[Training], type[Method]] = {TrainStage: Contrastive, PretrainStage: Pretraining}
