"""What differs between the kinds of training that the loop runs: the data, what DeepSpeed wraps, and the step."""

from pathlib import Path

import torch
import torch.distributed as dist

from ..collectives import largest
from ..errors import AscentError
from ..losses import Embedded, Objective
from ..model.backbone import has_dropout
from ..model.batching import by_length
from ..model.embedding_model import EmbeddingModel
from ..settings.stages import StageSettings
from ..settings.training import TrainStage
from .adversarial import Perturbation
from .data import Batch, TrainingData
from .engine import StepResult, forward_tokens, optimizer_step, seed_pass
from .gradient_cache import Leaves
from .objective import load_objectives
from .queue import Queue
from .schedule import Schedule


def train_step(
    engine, batch: Batch, objective: Objective, stage: TrainStage, step: int, pad_id: int, queue: Queue | None = None
) -> StepResult:
    """Take one optimizer step on a batch, of which this process holds a share (at least one row)."""
    losses, gradients = backward(engine, batch, objective, stage, step, pad_id, queue)
    norm = optimizer_step(engine, stage)
    if queue:
        queue.take(engine.module, batch, pad_id, forward_tokens(stage, engine.device))
    lengths = losses.new_tensor([[len(row), len(row) ** 2] for row in batch.tokens], dtype=torch.float64).sum(0)
    totals = torch.cat([losses.sum()[None], gradients, lengths])
    dist.all_reduce(totals)
    loss, *parts, tokens, squares = totals.tolist()
    return StepResult(
        loss=loss / batch.global_rows,
        gradient_norm=norm,
        tokens=int(tokens),
        squares=int(squares),
        # Each data set's share of the squares of the loss's gradient at the embeddings.
        more={f"gradient_share/{name}": part / (sum(parts) or 1.0) for name, part in zip(stage.data, parts, strict=True)},
    )


def backward(
    engine, batch: Batch, objective: Objective, stage: TrainStage, step: int, pad_id: int, queue: Queue | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave the whole batch's gradient with the engine.

    Returns the weighted losses of this process's rows, (rows,), whose sum over all processes, divided by the batch's rows, is
    the batch's loss; and for each data set the sum of squares of the loss's gradient at its rows' embeddings.
    With an adversarial perturbation (adversarial.py) both are those of the loss without it.
    """
    given = (engine, batch, objective, stage, step, pad_id, queue)
    if not stage.adversarial:
        return _descend(*given)
    perturbation = Perturbation(engine.module.backbone, stage.adversarial.epsilon)
    told = _descend(*given, perturbation, last=False)
    perturbation.ascend()
    _descend(*given, perturbation)
    return told


def _descend(
    engine,
    batch: Batch,
    objective: Objective,
    stage: TrainStage,
    step: int,
    pad_id: int,
    queue: Queue | None,
    perturbation: Perturbation | None = None,
    *,
    last: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradient of the loss under a perturbation; `last`: nothing more is added in this step. Returns what `backward`
    does."""
    device = engine.device
    chunks = by_length([len(row) for row in batch.tokens], forward_tokens(stage, device))
    padded = sum(len(chunk) * len(batch.tokens[chunk[0]]) for chunk in chunks)
    padded, count = largest(padded, len(chunks), device=device)
    cached = padded > stage.mini_batch_tokens
    # Every process makes the same number of passes, else ZeRO's collectives would wait for ever: the extra ones embed
    # one row whose gradient is zero.
    chunks += [chunks[-1][:1]] * (count - len(chunks))

    def embed(index: int) -> tuple[torch.Tensor, ...]:
        seed_pass(stage, step, index)
        tokens, prompt_lengths = ([texts[row] for row in chunks[index]] for texts in (batch.tokens, batch.prompt_lengths))
        inputs = engine.module.inputs(tokens, pad_id, device, prompt_lengths)
        if perturbation:
            inputs["perturbation"] = perturbation.of(index, inputs)
        return engine(**inputs)

    with torch.set_grad_enabled(not cached):
        given = [torch.cat(parts) for parts in zip(*(embed(index) for index in range(count)), strict=True)]
    leaves = Leaves(given, batch, chunks, engine.module)
    embeddings = leaves.tensors[0]
    rows = batch.to(device)
    local = Embedded(
        **rows.tensors(),
        queries=embeddings[: batch.rows],
        documents=embeddings[batch.rows :],
        queued=queue.candidates(batch) if queue else None,
        step=step,
        **leaves.tokens(),
    )
    losses = rows.weights * objective(local)
    loss = losses.sum() * (dist.get_world_size() / batch.global_rows)
    at_leaves = torch.autograd.grad(loss, leaves.tensors, allow_unused=True, materialize_grads=True)
    gradients = leaves.gradients(at_leaves)
    if not cached:
        gradients = [tuple(torch.cat(parts) for parts in zip(*gradients, strict=True))]
    for index, pieces in enumerate(gradients):
        engine.set_gradient_accumulation_boundary(last and index == len(gradients) - 1)
        outputs = embed(index) if cached else given
        engine.backward(sum((output * piece).sum() for output, piece in zip(outputs, pieces, strict=True)))
    dataset_of_text = torch.cat([rows.dataset_index, rows.dataset_index[rows.row_of_document]])
    squares = leaves.squares(at_leaves, dataset_of_text, len(stage.data))
    return losses.detach(), squares


NEGATIVES = "negatives.pt"


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
