"""A stage from its settings to its model folder."""

import logging
import os
import time
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from ..contract import read_contract, refuse_difference
from ..errors import AscentError
from ..files import digest_of, folder_atomically, write_json
from ..model import EmbeddingModel, check_tokenizer, load_backbone, precision_dtype, save_like
from ..objectives import load_objectives
from ..settings import Running, StageSettings, TrainStage
from .checkpoints import Checkpoints
from .collectives import largest
from .data import TrainingData, check_shares
from .engine import deepspeed_config, start_engine, train_step
from .lease import PATIENCE_SECONDS, Lease
from .limits import Limits
from .loader import Loader
from .record import Record

# Processes wait for the first one while it takes the lease, and while it converts a checkpoint.
WAIT = timedelta(seconds=PATIENCE_SECONDS + 600)


def start_processes() -> torch.device:
    """Join the other processes of this job, or be alone; return this process's device.

    The launcher (training/launch.py, torchrun, deepspeed) says in RANK, WORLD_SIZE and LOCAL_RANK who else there is.
    """
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=WAIT)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")  # DeepSpeed asks for them
    return device


def start_deepspeed() -> None:
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # On a CPU DeepSpeed would compile a shared-memory extension (41 s the first time); gloo does its work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")  # DeepSpeed's use of older names
    deepspeed.init_distributed(dist_init_required=False, verbose=False)


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
    assert isinstance(stage, TrainStage)
    device = start_processes()
    rank, world = dist.get_rank(), dist.get_world_size()
    contract, document = read_contract(task.parent)
    data = TrainingData(task.tokens, settings, document["tokenizer_digest"])
    tables = dict(zip(stage.data, data.tables, strict=True))
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

    start_deepspeed()
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a tenth of the time, to find bugs that are not here
    torch.manual_seed(stage.seed)
    refuse_difference(contract, settings.contract, task.parent, prompts=False)
    backbone, tokenizer = load_backbone(task.parent, settings.contract, dropout=stage.dropout)
    check_tokenizer(tokenizer, document["tokenizer_digest"], task.parent)
    if stage.activation_checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    schedule = data.schedule()
    check_shares(schedule, world, stage)
    steps = len(schedule)

    checkpoint = checkpoints.newest()
    start = checkpoint.step if checkpoint else 0
    gpu = device.type == "cuda"
    workers = (2 if gpu else 0) if task.running.loader_workers is None else task.running.loader_workers
    batches = Loader(data, schedule, start=start, rank=rank, world=world, workers=workers, pin=gpu)
    # Without ZeRO every process holds the whole state, which serves any number of them.
    universal = checkpoint is not None and checkpoint.processes != world and stage.zero > 0
    config = deepspeed_config(stage, universal=universal)
    model = EmbeddingModel(backbone, settings.contract, precision_dtype(stage.precision, device)).to(device)
    engine = start_engine(model, stage, steps, config)
    if checkpoint:
        checkpoints.load(engine, checkpoint, universal=universal)
        if rank == 0:
            print(f"going on from the checkpoint before step {start + 1} of {steps}", flush=True)
    record = Record(settings, task.running, task.metrics, checkpoints.fingerprint, steps, start) if rank == 0 else None
    objective = load_objectives(stage, settings.contract)
    saved = time.monotonic()
    for step in range(start, steps):
        began = time.perf_counter()
        batch = next(batches)
        learning_rate = engine.optimizer.param_groups[0]["lr"]
        result = train_step(engine, batch, objective, stage, step, tokenizer.pad_token_id or 0)
        seconds = time.perf_counter() - began
        limits.took(seconds)
        if not torch.isfinite(torch.tensor(result.loss)):
            raise AscentError(f"{task.model}: the loss of step {step + 1} is {result.loss}; lower the learning rate.")
        if record:
            record.add(
                step=step + 1,
                loss=result.loss,
                learning_rate=learning_rate,
                gradient_norm=result.gradient_norm,
                tokens_per_second=result.tokens / seconds,
                pairs_per_second=batch.global_rows / seconds,
                seconds=seconds,
                gradient_shares=dict(zip(stage.data, result.gradient_shares, strict=True)),
            )
        due = time.monotonic() - saved > 60 * task.running.checkpoint_minutes
        due |= task.running.checkpoint_steps is not None and (step + 1) % task.running.checkpoint_steps == 0
        reason = limits.reason() or (lease.wanted() if lease else None)
        # A signal may reach one process first, and clocks differ: all must come to the same checkpoint.
        stopping, due = largest(reason is not None, due, device=device)
        if step + 1 < steps and (stopping or due):
            if record:
                record.keep()
            began = time.perf_counter()
            checkpoints.save(engine, step + 1)
            limits.took(time.perf_counter() - began)
            saved = time.monotonic()
            if stopping and rank:
                raise SystemExit(1)  # the first process says why
            if stopping:
                why = reason or "because another process of it was asked to"
                raise AscentError(f"{task.model}: stopped after step {step + 1} of {steps}, {why}; run again to go on.")
    state = whole_state(engine)
    if rank == 0:
        record.close()
        write_json(task.deepspeed, config | {"train_batch_size": world})
        with folder_atomically(task.model) as temporary:
            save_like(task.parent, state, settings.contract, history, temporary)
        checkpoints.finish(task.model, task.metrics, task.deepspeed)
    dist.barrier()
    dist.destroy_process_group()


def whole_state(engine) -> dict[str, torch.Tensor]:
    """Return the backbone's weights by name, float32 on the CPU, as the optimizer holds them."""
    import deepspeed

    backbone = engine.module.backbone
    stage3 = engine.zero_optimization_stage() == 3
    with deepspeed.zero.GatheredParameters(list(backbone.parameters()), enabled=stage3):
        state = {name: tensor.detach().float().cpu().clone() for name, tensor in backbone.state_dict().items()}
    if engine.bfloat16_enabled():
        for name, parameter in backbone.named_parameters():
            state[name] = deepspeed.utils.safe_get_full_fp32_param(parameter).cpu().clone()
    return state
