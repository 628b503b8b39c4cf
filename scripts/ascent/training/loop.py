"""A stage from its settings to its model folder."""

import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import torch.distributed as dist

from ..collectives import largest
from ..errors import AscentError
from ..files import digest_of, folder_atomically, write_json
from ..model.adapters import adapt, save_merged
from ..model.backbone import load_backbone
from ..model.contract import read_contract, refuse_difference
from ..model.embedding_model import EmbeddingModel
from ..model.heads import PREFIX, load_heads
from ..model.precision import precision_dtype, prepare_backbone
from ..model.saving import check_tokenizer, save_like
from ..settings.stages import StageSettings
from ..settings.training import PretrainStage, Running, Training, TrainStage
from .contrastive import Contrastive
from .data import check_shares, open_table
from .development import Development
from .engine import StepResult, deepspeed_config, forward_tokens, start_engine, whole_state
from .job.checkpoints import Checkpoints
from .job.distributed import deepspeed, start_deepspeed, start_processes
from .job.lease import Lease
from .job.preemption import Limits
from .loader import Loader
from .metrics import Record
from .pretraining import Pretraining
from .schedule import Schedule
from .throughput import Throughput


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a run is given, and what it is to make.

    parent: the model folder it starts from. tokens: folders by data set. model: the folder to make. metrics, deepspeed: files to
    write, one line a step, and DeepSpeed's configuration. revision: the step's, see rules/.
    """

    settings: StageSettings
    running: Running
    parent: Path
    tokens: dict[str, Path]
    model: Path
    metrics: Path
    deepspeed: Path
    revision: int

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie: beside what the workflow knows of, since it deletes what a failed job has made."""
        return self.model.parent / "checkpoints"


def train(task: Task) -> None:
    """Train a stage. A run that was cut short goes on from its newest checkpoint; what was finished is put in place again."""
    limits = Limits()
    if os.environ.get("RANK", "0") != "0":
        _train(task, limits, None)
        return
    lease = Lease(task.checkpoints)
    lease.take()
    try:
        _train(task, limits, lease)
    finally:
        lease.release()


def _train(task: Task, limits: Limits, lease: Lease | None) -> None:
    settings, stage = task.settings, task.settings.stage
    assert isinstance(stage, Training)
    kind = METHODS[type(stage)]
    device = start_processes()
    rank, world = dist.get_rank(), dist.get_world_size()
    contract, document = read_contract(task.parent)
    tables = {name: open_table(task.tokens[name], settings, name, document["tokenizer_digest"]) for name in stage.tables}
    history = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "parent": document["weights_digest"],
        "data": {name: table.meta["pairs"] for name, table in tables.items()},
        "negatives": {name: table.meta["negatives"] for name, table in tables.items()},
        "tokens": {name: table.digest for name, table in tables.items()},
    }
    checkpoints = Checkpoints(task.checkpoints, digest_of(history | {"revision": task.revision}))
    made = rank == 0 and checkpoints.restore(task.model, task.metrics, task.deepspeed)
    if largest(made, device=device)[0]:
        if rank == 0:
            print(f"{task.model}: was trained before with these settings and data, and is put in place", flush=True)
        dist.destroy_process_group()
        return

    data = kind.Data({name: tables[name] for name in stage.data}, settings)
    schedule = data.schedule()
    check_shares(schedule, world, settings)
    development = None
    if stage.development:
        held_out = tables[stage.development.data]
        given = (held_out, data.tables, task.checkpoints, checkpoints.fingerprint, forward_tokens(stage, device))
        development = Development(stage.development, *given)
    start_deepspeed()
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a tenth of the time, to find bugs that are not here
    torch.manual_seed(stage.seed)
    refuse_difference(contract, settings.contract, task.parent, prompts=False)
    model, tokenizer = _load_model(task, device)
    check_tokenizer(tokenizer, document["tokenizer_digest"], task.parent)
    if stage.compile and rank == 0:
        print("compiling the backbone: the first steps take minutes", flush=True)
    model.to(device)
    method = kind(model, tokenizer, settings, data, schedule)
    prepare_backbone(model.backbone, stage)
    checkpoint = checkpoints.newest()
    # Without ZeRO every process holds the whole state, which serves any number of them.
    universal = checkpoint is not None and checkpoint.processes != world and stage.zero > 0
    config = deepspeed_config(stage, universal=universal)
    engine = start_engine(method.module.to(device), stage, len(schedule), config)
    start = 0
    if checkpoint:
        start = checkpoint.step
        checkpoints.load(engine, checkpoint, universal=universal)
        method.load(checkpoints.folder / checkpoint.tag, checkpoint.processes)
        if rank == 0:
            print(f"going on from the checkpoint before step {start + 1} of {len(schedule)}", flush=True)
    record = throughput = None
    if rank == 0:
        record = Record(settings, task.running, task.metrics, checkpoints.fingerprint, len(schedule), start)
        throughput = Throughput(task.parent, stage, device, model.dtype or torch.float32, world)

    gpu = device.type == "cuda"
    workers = (2 if gpu else 0) if task.running.loader_workers is None else task.running.loader_workers
    if stage.mining and stage.mining.dynamic:
        workers = 0  # what is read ahead would not know of a replacement
    batches = Loader(data, schedule, start=start, rank=rank, world=world, workers=workers, pin=gpu)
    pad_id = tokenizer.pad_token_id or 0
    saved = time.monotonic()
    for step in range(start + 1, len(schedule) + 1):
        began = time.perf_counter()
        batch = next(batches)
        learning_rate = engine.optimizer.param_groups[0]["lr"]
        result = method.step(engine, batch, step - 1)
        seconds = time.perf_counter() - began
        limits.took(seconds)
        if not math.isfinite(result.loss):
            raise AscentError(f"{task.model}: the loss of step {step} is {result.loss}; lower the learning rate.")
        line = {
            "step": step,
            "loss": result.loss,
            "learning_rate": learning_rate,
            "gradient_norm": result.gradient_norm,
            "seconds": seconds,
            # Tells whether two runs saw the same rows in the same step.
            "batch": hashlib.sha256(schedule[step - 1].tobytes()).hexdigest()[:16],
        }
        line |= result.more
        if development and development.due(step, len(schedule)):
            line["development"] = development.take(engine, whole_state, step, pad_id)
        over = development is not None and development.over(step)
        if over and rank == 0:
            print(
                f"ended after step {step}: {stage.development.patience} scores in a row were no better than the best", flush=True
            )
        if record:
            record.add(line | throughput.of(result, batch.global_rows, seconds))
        if over or step == len(schedule):
            break
        due = time.monotonic() - saved > 60 * task.running.checkpoint_minutes
        due |= task.running.checkpoint_steps is not None and step % task.running.checkpoint_steps == 0
        reason = limits.reason() or (lease.wanted() if lease else None)
        # A signal may reach one process first, and clocks differ: all must come to the same checkpoint.
        stopping, due = largest(reason is not None, due, device=device)
        if stopping or due:
            if record:
                record.keep()
            began = time.perf_counter()
            checkpoints.save(engine, step, method.save)
            limits.took(time.perf_counter() - began)
            saved = time.monotonic()
            if stopping and rank:
                raise SystemExit(1)  # the first process says why
            if stopping:
                why = reason or "because another process of it was asked to"
                raise AscentError(f"{task.model}: stopped after step {step} of {len(schedule)}, {why}; run again to go on.")
    state = None if development else whole_state(engine)
    if rank == 0:
        record.close()
        if development:
            state = development.weights()
            print(f"kept the weights after step {development.best[0]}, development {development.best[1]:.4f}", flush=True)
        write_json(task.deepspeed, config | {"train_batch_size": world})
        _export(task, state, data.sample(), model.backbone.config.hidden_size, history)
        checkpoints.finish(task.model, task.metrics, task.deepspeed)
        if development:
            development.close()
    dist.barrier()
    deepspeed.comm.destroy_process_group()  # torch's, and what DeepSpeed remembers of it


def _load_model(task: Task, device: torch.device) -> tuple[EmbeddingModel, Any]:
    """Return the parent's model, with the stage's dropout, precision and adapter, on the CPU; and its tokenizer."""
    settings, stage = task.settings, task.settings.stage
    backbone, tokenizer = load_backbone(task.parent, settings.contract, dropout=stage.dropout)
    heads = load_heads(task.parent, settings.contract, backbone.config.hidden_size)
    dtype = precision_dtype(stage.precision, device)
    model = EmbeddingModel(backbone, settings.contract, dtype, heads, tokenizer.all_special_ids)
    longest, whole = max(stage.matryoshka, default=0), model.dimension
    if longest > whole:
        raise AscentError(
            f"{settings.where}.matryoshka: {longest} is more than the {whole} dimensions that the model has; lower it."
        )
    if stage.adapter:
        adapt(backbone, stage.adapter, tokenizer, f"{settings.where}.adapter")
    return model, tokenizer


def _export(task: Task, state: dict[str, torch.Tensor], texts: list[np.ndarray], width: int, history: dict) -> None:
    """Write the stage's model folder. state: the weights that trained. texts: some of the data, on which a merged adapter is
    checked. width: the backbone's."""
    settings = task.settings
    with folder_atomically(task.model) as folder:
        if settings.stage.adapter:
            given = (settings.contract, history, folder, f"{settings.where}.adapter")
            save_merged(task.parent, settings.stage.adapter, state, texts, *given)
        else:
            frozen = load_heads(task.parent, settings.contract, width).state_dict()
            state = {f"{PREFIX}{name}": tensor for name, tensor in frozen.items()} | state
            save_like(task.parent, state, settings.contract, history, folder)


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


METHODS: dict[type[Training], type[Method]] = {TrainStage: Contrastive, PretrainStage: Pretraining}
