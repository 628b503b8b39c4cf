"""Contrastive training: a stage whose losses are on embeddings."""

from pathlib import Path

import torch
import torch.distributed as dist

from ...errors import AscentError
from ...losses import Objective
from ...model.backbone import has_dropout
from ...model.embedding_model import EmbeddingModel
from ...settings.contrastive import Contrastive as ContrastiveSettings
from ...settings.stages import StageSettings
from ..adversarial import Perturbation
from ..data import Batch, TrainingData
from ..engine import StepResult, forward_tokens, optimizer_step
from ..gradient_cache import accumulate_gradient
from ..objective import chance_level, load_objectives
from ..queue import Queue
from ..schedule import Schedule

NEGATIVES = "negatives.pt"


class Contrastive:
    """Losses on embeddings.

    Raises AscentError if query and positive are the same text and the model has no dropout, if a teacher's embeddings
    and the model's have different dimensions, or if a Matryoshka size is larger than the embedding.
    """

    Data = TrainingData

    def __init__(
        self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: TrainingData, schedule: Schedule
    ):
        self.module, self._stage, self._tokenizer, self._schedule = model, settings.stage, tokenizer, schedule
        check_model(model, settings, data)
        if not self._stage.token_level_losses:
            for name in model.per_token:  # no loss uses their outputs
                del model.heads[name]
        self._queue = Queue(self._stage, model) if self._stage.queue else None
        self._dynamic = data.dynamic
        self._plain = load_objectives(self._stage, settings.contract)
        self._objective = self._dynamic.watching(self._plain) if self._dynamic else self._plain

    def step(self, engine, batch: Batch, step: int) -> StepResult:
        """Take optimizer step `step`, see train_step."""
        pad_id = self._tokenizer.pad_token_id or 0
        result = train_step(engine, batch, self._objective, self._stage, step, pad_id, self._queue)
        if self._dynamic:
            self._dynamic.saw(self._schedule[step], batch)
            if self._dynamic.due(step + 1):
                result.more.update(self._dynamic.check(self._tokenizer.decode))
        return result

    def chance(self, engine, batch: Batch, step: int) -> float | None:
        """Return the loss of equal embeddings, if that is chance for all losses of the stage."""
        losses = [loss for name in self._stage.data for loss in self._stage.objective_of(name).chosen.values()]
        if not all(loss.has_chance for loss in losses):
            return None
        like = torch.ones(self.module.dimension, device=engine.device)
        return chance_level(self._plain, batch, self._queue, like / like.norm(), step)

    def save(self, folder: Path) -> None:
        """Write the queue, and which negatives rows have."""
        if self._queue:
            self._queue.save(folder)
        if self._dynamic and dist.get_rank() == 0:  # the same on every process
            torch.save(self._dynamic.state(), folder / NEGATIVES)

    def load(self, folder: Path, processes: int) -> None:
        """Resume with them."""
        if self._queue:
            self._queue.load(folder, processes)
        if self._dynamic:
            self._dynamic.restore(torch.load(folder / NEGATIVES, weights_only=True))


def check_model(model: EmbeddingModel, settings: StageSettings, data: TrainingData) -> None:
    """Raise AscentError if a model cannot learn from a stage's data, see Contrastive."""
    stage, where = settings.stage, settings.where
    longest, whole = max(stage.matryoshka, default=0), model.dimension
    if longest > whole:
        raise AscentError(f"{where}.matryoshka: {longest} is larger than the model's {whole} dimensions; lower it.")
    if (same := data.own_positives()) and not has_dropout(model.backbone):
        raise AscentError(
            f"{where}.data.{same[0]}: query and positive are the same text and the model has no dropout, so their"
            " embeddings would be identical; set dropout, for example 0.1."
        )
    for name, table in zip(stage.data, data.tables, strict=True):
        width = None if table.teacher_embeddings is None else table.teacher_embeddings.shape[1]
        if width not in (None, whole):
            raise AscentError(
                f"{where}.data.{name}: the teacher's embeddings have {width} dimensions, the model's {whole}, so the"
                " objective 'embedding_mse' cannot compare them; use a teacher of the same dimension, or another"
                " objective."
            )


def train_step(
    engine,
    batch: Batch,
    objective: Objective,
    stage: ContrastiveSettings,
    step: int,
    pad_id: int,
    queue: Queue | None = None,
) -> StepResult:
    """Take one optimizer step on a batch; this process holds a share of at least one row."""
    losses, gradients = backward(engine, batch, objective, stage, step, pad_id, queue)
    norm = optimizer_step(engine, stage)
    if queue:
        queue.take(engine.module, batch, pad_id, forward_tokens(stage, engine.device))
    lengths = batch.tokens.counts.double()
    lengths = torch.stack([lengths.sum(), lengths.square().sum()]).to(engine.device)
    totals = torch.cat([losses.sum()[None], gradients, lengths])
    dist.all_reduce(totals)
    loss, *parts, tokens, squares = totals.tolist()
    return StepResult(
        loss=loss / batch.global_rows,
        gradient_norm=norm,
        tokens=int(tokens),
        squares=int(squares),
        # Each data set's share of the squared gradient of the loss at the embeddings.
        more={
            f"gradient_share/{name}": part / (sum(parts) or 1.0) for name, part in zip(stage.data, parts, strict=True)
        },
    )


def backward(
    engine,
    batch: Batch,
    objective: Objective,
    stage: ContrastiveSettings,
    step: int,
    pad_id: int,
    queue: Queue | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave the whole batch's gradient with the engine.

    Returns the weighted losses of this process's rows, (rows,); their sum over all processes, divided by the batch's
    rows, is the batch's loss. Also returns per data set the sum of squares of the loss's gradient at its rows'
    embeddings. With an adversarial perturbation (adversarial.py) both are those of the unperturbed loss.
    """
    arguments = (engine, batch, objective, stage, step, pad_id, queue)
    if not stage.adversarial:
        return accumulate_gradient(*arguments)
    perturbation = Perturbation(engine.module.backbone, stage.adversarial.epsilon)
    unperturbed = accumulate_gradient(*arguments, perturbation, last=False)
    perturbation.ascend()
    accumulate_gradient(*arguments, perturbation)
    return unperturbed
