"""What differs between the kinds of training that the loop runs: the data, what DeepSpeed wraps, and the step."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
import torch.distributed as dist

from ..errors import AscentError
from ..model import EmbeddingModel, has_dropout
from ..objectives import load_objectives
from ..schedule import Schedule
from ..settings import StageSettings
from ..stage_settings import PretrainStage, Training, TrainStage
from .data import Batch, TrainingData
from .engine import StepResult, train_step
from .pretraining import Pretraining
from .queue import Queue

NEGATIVES = "negatives.pt"


class Method(Protocol):
    """A kind of training, made of the model, its tokenizer, the stage's settings, its `Data` and their schedule.

    Data: made of tables and settings, it has `schedule()` and `batch(rows, rank=, world=)`. module: what DeepSpeed wraps; its
    `backbone` is what is kept.
    """

    Data: ClassVar[type]
    module: torch.nn.Module

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: Any, schedule: Schedule): ...

    def step(self, engine, batch: Any, step: int) -> StepResult:
        """Take optimizer step `step`, from 0, on a share of a batch of `Data`."""

    def save(self, folder: Path) -> None:
        """Write what this process keeps from step to step, beside the engine's state, into a checkpoint's folder."""

    def load(self, folder: Path, processes: int) -> None:
        """Go on with what so many processes saved."""


class Contrastive:
    """Losses on embeddings.

    Raises AscentError when texts are their own positives and no dropout tells them apart, or a teacher's embeddings have another
    dimension than the model's.
    """

    Data = TrainingData

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: TrainingData, schedule: Schedule):
        assert isinstance(settings.stage, TrainStage)
        if (alike := data.own_positives()) and not has_dropout(model.backbone):
            raise AscentError(
                f"{settings.where}.data.{alike[0]}: its texts are their own positives, which "
                "only dropout tells apart, and the model has none; set the stage's dropout, say to 0.1."
            )
        for name, table in zip(settings.stage.data, data.tables, strict=True):
            width = None if table.teacher_embeddings is None else table.teacher_embeddings.shape[1]
            if width not in (None, model.dimension):
                raise AscentError(
                    f"{settings.where}.data.{name}: the teacher's embeddings have {width} dimensions, the model's "
                    f"{model.dimension}, which the objective 'embedding_mse' cannot compare; take a teacher of the same "
                    "dimension, or another objective."
                )
        for name in [] if settings.stage.of_tokens else model.beside:  # no loss asks for what they give
            del model.heads[name]
        self.module, self._stage, self._tokenizer, self._schedule = model, settings.stage, tokenizer, schedule
        self._queue = Queue(settings.stage, model) if settings.stage.queue else None
        self._dynamic = data.dynamic
        objective = load_objectives(settings.stage, settings.contract)
        self._objective = self._dynamic.watching(objective) if self._dynamic else objective

    def step(self, engine, batch: Batch, step: int) -> StepResult:
        """Take optimizer step `step`, see train_step."""
        pad_id = self._tokenizer.pad_token_id or 0
        result = train_step(engine, batch, self._objective, self._stage, step, pad_id, self._queue)
        if self._dynamic:
            self._dynamic.saw(self._schedule[step], batch)
            if self._dynamic.due(step + 1):
                result.more.update(self._dynamic.check(self._tokenizer.decode))
        return result

    def save(self, folder: Path) -> None:
        """Write the queue, and which negatives rows have."""
        if self._queue:
            self._queue.save(folder)
        if self._dynamic and dist.get_rank() == 0:  # the same on every process
            torch.save(self._dynamic.state(), folder / NEGATIVES)

    def load(self, folder: Path, processes: int) -> None:
        """Go on with them."""
        if self._queue:
            self._queue.load(folder, processes)
        if self._dynamic:
            self._dynamic.restore(torch.load(folder / NEGATIVES, weights_only=True))


METHODS: dict[type[Training], type[Method]] = {TrainStage: Contrastive, PretrainStage: Pretraining}
