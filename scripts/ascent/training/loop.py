"""A stage that trains, from its settings to its model folder."""

import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
import torch.distributed as dist

from ..collectives import largest, of_first
from ..components import code_of
from ..errors import AscentError
from ..files import digest_of, folder_atomically, write_json
from ..model.adapters import save_merged
from ..model.contract import read_contract, refuse_difference
from ..model.embedding_model import EmbeddingModel
from ..model.heads import PREFIX, load_heads
from ..model.packing import attention_in_words
from ..model.precision import is_to_compile, prepare_backbone
from ..model.saving import check_tokenizer, save_like
from ..settings.stages import StageSettings
from ..settings.training import Running
from .budget import with_token_budget
from .data import check_shares, open_table
from .development import Development
from .engine import StepResult, deepspeed_config, forward_tokens, start_engine
from .job.checkpoints import Checkpoints, interval
from .job.distributed import deepspeed, describe_processes, start_deepspeed, start_processes
from .job.lease import Lease
from .job.preemption import StopRequest
from .loader import Loader
from .metrics import Record
from .schedule import Schedule, few_steps
from .throughput import Throughput
from .watch import Watch
from .weights import load_model, whole_state


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a run is given, and what it makes.

    parent: the model folder to start from. tokens: folders by data set. model: the folder to make. metrics, deepspeed:
    files to write, one line per step, and DeepSpeed's configuration. revision: the rule's.
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
        """Where checkpoints lie: outside the rule's outputs, since the workflow deletes the outputs of a failed job."""
        return self.model.parent / "checkpoints"


class Method(Protocol):
    """What runs a stage: made from the model, its tokenizer, the stage's settings, its `Data` and their schedule.

    Data: made from tables and settings, it has `schedule()`, `batch(rows, rank=, world=)`, `sample()` and
    `reads_ahead`, whether batches may be read before their step begins. module: what DeepSpeed wraps; its `backbone`
    and `heads` are what is kept.
    """

    Data: ClassVar[type]
    module: torch.nn.Module

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: Any, schedule: Schedule): ...

    def step(self, engine, batch: Any, step: int) -> StepResult:
        """Take optimizer step `step`, counted from 0, on a share of a batch of `Data`."""

    def chance(self, engine, batch: Any, step: int) -> float | None:
        """Return the whole batch's loss if the model told nothing apart; None if that is unknown. Every process calls
        it."""

    def save(self, folder: Path) -> None:
        """Write what this process keeps from step to step, besides the engine's state, into a checkpoint's folder."""

    def load(self, folder: Path, processes: int) -> None:
        """Resume with what this number of processes saved."""


def train(task: Task, stop: StopRequest) -> None:
    """Train a stage until `stop` says otherwise. An interrupted run resumes from its newest checkpoint; a finished one
    is restored."""
    lease = Lease(task.checkpoints) if os.environ.get("RANK", "0") == "0" else None
    if lease:
        lease.take(stop.reason)
    try:
        run = _Run(task)
        if run.open():
            run.build()
            run.steps(stop, lease)
            run.finish()
    finally:
        if lease:
            lease.release()


class _Run:
    """One process's part of a run."""

    def __init__(self, task: Task):
        self.task, self.settings, self.stage = task, task.settings, task.settings.stage
        self.kind: type[Method] = code_of(self.stage)
        self.record: Record | None = None
        self.development: Development | None = None

    def say(self, text: str) -> None:
        """Print on the first process."""
        if self.rank == 0:
            print(text, flush=True)

    def open(self) -> bool:
        """Join the other processes and open data and checkpoints; return whether there is something to train."""
        task, settings = self.task, self.settings
        self.device = start_processes()
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.contract, self.document = read_contract(task.parent, weights=self.rank == 0)
        digest = self.document["tokenizer_digest"]
        self.tables = {name: open_table(task.tokens[name], settings, name, digest) for name in self.stage.datasets_read}
        self.history = {
            "settings": settings.model_dump(mode="json", by_alias=True),
            "parent": self.document["weights_digest"],
            "tokens": {name: table.digest for name, table in self.tables.items()},
        }
        self.checkpoints = Checkpoints(task.checkpoints, digest_of(self.history | {"revision": task.revision}))
        if of_first(lambda: self.checkpoints.restore(task.model, task.metrics, task.deepspeed)):
            self.say(f"{task.model}: already trained with these settings and data; restored")
            dist.destroy_process_group()
            return False
        trained = [self.tables[name] for name in self.stage.data]
        self.settings = settings = with_token_budget(settings, task.parent, trained, self.device, self.world)
        self.say(f"up to {settings.stage.token_budget:,} tokens at a time on each of {self.world} processes")
        self.stage = settings.stage
        self.data = self.kind.Data({name: self.tables[name] for name in self.stage.data}, settings)
        self.schedule = self.data.schedule()
        check_shares(self.schedule, self.world, settings)
        if warning := few_steps(self.stage, len(self.data)):
            self.say(f"warning: {settings.where}.{warning}")
        if held_out := self.stage.held_out:
            self.development = Development(
                held_out,
                self.tables[held_out.data],
                self.data.tables,
                task.checkpoints,
                self.checkpoints.fingerprint,
                forward_tokens(self.stage, self.device),
            )
        return True

    def build(self) -> None:
        """Make the model and the engine, and resume from the newest checkpoint."""
        task, settings, stage, device = self.task, self.settings, self.stage, self.device
        self.say(describe_processes(device))
        start_deepspeed()
        # On a GPU it would need cuBLAS to be told before CUDA starts, and flash attention has no such form.
        torch.use_deterministic_algorithms(device.type == "cpu")
        torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that takes a tenth of the time
        torch.manual_seed(stage.seed)
        refuse_difference(self.contract, settings.contract, task.parent, prompts=False)
        model, tokenizer = load_model(task.parent, settings, device)
        check_tokenizer(tokenizer, self.document["tokenizer_digest"], task.parent)
        self.say(f"attention: {attention_in_words(model.backbone, device, model.dtype)}")
        if is_to_compile(stage):
            self.say("compiling the backbone: the first steps take minutes")
        if stage.zero < 3:
            model.to(device)
        self.method = self.kind(model, tokenizer, settings, self.data, self.schedule)
        prepare_backbone(model.backbone, stage)
        checkpoint = of_first(self.checkpoints.newest)
        # Without ZeRO every process holds the whole state, which any number of processes can load.
        universal = checkpoint is not None and checkpoint.processes != self.world and stage.zero > 0
        self.config = deepspeed_config(stage, universal=universal)
        self.engine = start_engine(self.method.module, stage, len(self.schedule), self.config, device)
        self.pad_id, self.width = tokenizer.pad_token_id or 0, model.backbone.config.hidden_size
        self.start = 0
        if checkpoint:
            self.start = checkpoint.step
            self.checkpoints.load(self.engine, checkpoint, universal=universal)
            self.method.load(self.checkpoints.folder / checkpoint.tag, checkpoint.processes)
            self.say(f"resuming from the checkpoint at step {self.start} of {len(self.schedule)}")
        self.watch = Watch(settings.where, self.start, len(self.schedule))
        if self.rank == 0:
            fingerprint, steps = self.checkpoints.fingerprint, len(self.schedule)
            self.record = Record(settings, task.running, task.metrics, fingerprint, steps, self.start)
            self.throughput = Throughput(task.parent, stage, device, model.dtype or torch.float32, self.world)

    def steps(self, stop: StopRequest, lease: Lease | None) -> None:
        """Take all steps, with scores and checkpoints between them, to the last one or until patience ends.

        Raises AscentError, with a checkpoint, when the run is asked to stop.
        """
        gpu = self.device.type == "cuda"
        workers = (2 if gpu else 0) if self.task.running.loader_workers is None else self.task.running.loader_workers
        batches = Loader(
            self.data,
            self.schedule,
            start=self.start,
            rank=self.rank,
            world=self.world,
            workers=workers if self.data.reads_ahead else 0,
            pin=gpu,
        )
        self.saved, self.cost = time.monotonic(), 0.0
        for step in range(self.start + 1, len(self.schedule) + 1):
            if self.take_step(step, batches, stop) or step == len(self.schedule):
                return
            self.checkpoint_if_due(step, stop, lease)

    def take_step(self, step: int, batches: Loader, stop: StopRequest) -> bool:
        """Take a step and record its metrics; return whether training ends with it, before its last step."""
        began = time.perf_counter()
        batch = next(batches)
        learning_rate = self.engine.optimizer.param_groups[0]["lr"]
        result = self.method.step(self.engine, batch, step - 1)
        seconds = time.perf_counter() - began
        stop.took(seconds)
        if not math.isfinite(result.loss):
            raise AscentError(f"{self.task.model}: the loss of step {step} is {result.loss}; lower the learning rate.")
        self.watch.saw(step, result)
        if self.watch.due(step):
            chance = self.method.chance(self.engine, batch, step - 1)
            if warning := self.watch.compare(step, result.loss, chance):
                self.say(warning)
        line = {
            "step": step,
            "loss": result.loss,
            "learning_rate": learning_rate,
            "gradient_norm": result.gradient_norm,
            "seconds": seconds,
            # Shows whether two runs saw the same rows in the same step.
            "batch": hashlib.sha256(self.schedule[step - 1].tobytes()).hexdigest()[:16],
        }
        line |= result.more
        over = False
        if self.development:
            if self.development.due(step, len(self.schedule)):
                line["development"] = self.development.take(self.engine, whole_state, step, self.pad_id)
            if over := self.development.over(step):
                patience = self.stage.held_out.patience
                self.say(f"stopped after step {step}: {patience} consecutive scores did not improve on the best")
        if self.record:
            self.record.add(line | self.throughput.rates(result, batch.global_rows, seconds))
        return over

    def checkpoint_if_due(self, step: int, stop: StopRequest, lease: Lease | None) -> None:
        """Write a checkpoint if it is time for one, or if the run is to stop, which then ends here."""
        running = self.task.running
        due = time.monotonic() - self.saved > interval(running.checkpoint_minutes, self.cost)
        due |= running.checkpoint_steps is not None and step % running.checkpoint_steps == 0
        reason = stop.reason() or (lease.wanted() if lease else None)
        # A signal may reach one process first, and clocks differ: all must agree on the same checkpoint.
        stopping, due = largest(reason is not None, due, device=self.device)
        if not stopping and not due:
            return
        if self.record:
            self.record.keep()
        began = time.perf_counter()
        self.checkpoints.save(self.engine, step, self.method.save)
        self.cost, self.saved = time.perf_counter() - began, time.monotonic()
        stop.took(self.cost)
        if stopping and self.rank:
            raise SystemExit(1)  # the first process says why
        if stopping:
            why = reason or "because another of its processes was asked to"
            raise AscentError(
                f"{self.task.model}: stopped after step {step} of {len(self.schedule)}, {why}; re-run to resume."
            )

    def finish(self) -> None:
        """Write the model folder, the metrics and DeepSpeed's configuration."""
        task, development = self.task, self.development
        state = None if development else whole_state(self.engine)
        dist.barrier()
        # The other processes end here, and free their GPUs: writing and checking a large model takes minutes.
        deepspeed.comm.destroy_process_group()  # torch's, and what DeepSpeed remembers of it
        if self.rank == 0:
            self.record.close()
            if development:
                state, (step, score) = development.weights(), development.best
                self.say(f"kept the weights of step {step}, whose development score is {score:.4f}")
            write_json(task.deepspeed, self.config | {"train_batch_size": self.world})
            self.export(state)
            self.checkpoints.finish(task.model, task.metrics, task.deepspeed)
            if development:
                development.close()

    def export(self, state: dict[str, torch.Tensor]) -> None:
        """Write the stage's model folder. state: the weights that trained."""
        task, contract, adapter = self.task, self.settings.contract, self.stage.adapter
        with folder_atomically(task.model) as folder:
            if adapter:
                where = f"{self.settings.where}.adapter"
                save_merged(task.parent, adapter, state, self.data.sample(), contract, self.history, folder, where)
            else:
                frozen = load_heads(task.parent, contract, self.width).state_dict()
                state = {f"{PREFIX}{name}": tensor for name, tensor in frozen.items()} | state
                save_like(task.parent, state, contract, self.history, folder)
