"""A stage from its settings to its model folder."""

import json
import logging
import os
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm import tqdm

from ..contract import read_contract, refuse_difference
from ..errors import AscentError
from ..files import digest_of, folder_atomically, sha256_file, write_atomically
from ..model import EmbeddingModel, check_tokenizer, load_backbone, precision_dtype, save_like
from ..objectives import load_objective
from ..settings import Running, StageSettings, TrainStage
from .checkpoints import Checkpoints
from .collectives import largest
from .data import TrainingPairs
from .engine import start_engine, train_step


def start_processes() -> torch.device:
    """Join the other processes of this job, or be alone; return this process's device.

    The launcher (torchrun, deepspeed) says in RANK, WORLD_SIZE and LOCAL_RANK who else there is.
    """
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend)
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


def train(
    settings: StageSettings,
    running: Running,
    parent: Path,
    pairs: dict[str, Path],
    negatives: dict[str, Path],
    folder: Path,
    metrics: Path,
) -> None:
    """Train a stage and write its model folder and metrics.

    parent: the model folder it starts from. pairs, negatives: tables by data set. Checkpoints lie in `folder`'s
    neighbour `checkpoints` while training runs; a run that was cut short goes on from the newest.
    """
    stage = settings.stage
    assert isinstance(stage, TrainStage)
    device = start_processes()
    start_deepspeed()
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a tenth of the time, to find bugs that are not here
    torch.manual_seed(stage.seed)
    rank, world = dist.get_rank(), dist.get_world_size()

    contract, document = read_contract(parent)
    refuse_difference(contract, settings.contract, parent, prompts=False)
    backbone, tokenizer = load_backbone(parent, settings.contract, dropout=stage.dropout)
    check_tokenizer(tokenizer, document["tokenizer_digest"], parent)
    data = TrainingPairs(pairs, negatives, dict(settings.tasks), tokenizer, settings.contract)
    steps = data.steps(stage.batch_size, stage.epochs)
    share = partial(data.batch, batch_size=stage.batch_size, epochs=stage.epochs, seed=stage.seed, rank=rank, world=world)
    share(steps - 1)  # the last batch, the smallest, is refused now rather than after days of training

    model = EmbeddingModel(backbone, settings.contract, precision_dtype(stage.precision, device)).to(device)
    engine = start_engine(model, stage, steps)
    history = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "parent": document["weights_digest"],
        "data": {name: sha256_file(path) for name, path in sorted(pairs.items())},
        "negatives": {name: sha256_file(path) for name, path in sorted(negatives.items())},
    }
    checkpoints = Checkpoints(folder.parent / "checkpoints", digest_of(history))
    start = checkpoints.resume(engine)
    if start and rank == 0:
        print(f"going on from the checkpoint before step {start + 1} of {steps}", file=sys.stderr, flush=True)
    lines = _kept_lines(metrics, start)
    objective = load_objective(stage)
    stop = _StopSignal()
    saved = time.monotonic()
    bar = tqdm(total=steps, initial=start, unit="step", disable=None if rank == 0 else True)
    for step in range(start, steps):
        began = time.perf_counter()
        batch = share(step)
        learning_rate = engine.optimizer.param_groups[0]["lr"]
        result = train_step(engine, batch, objective, stage, step, tokenizer.pad_token_id or 0)
        seconds = time.perf_counter() - began
        if not torch.isfinite(torch.tensor(result.loss)):
            raise AscentError(f"{folder}: the loss of step {step + 1} is {result.loss}; lower the learning rate.")
        lines.append(
            {
                "step": step + 1,
                "loss": result.loss,
                "learning_rate": learning_rate,
                "gradient_norm": result.gradient_norm,
                "tokens_per_second": result.tokens / seconds,
                "pairs_per_second": batch.global_rows / seconds,
                "seconds": seconds,
            }
        )
        bar.update()
        bar.set_postfix(loss=f"{result.loss:.3f}", refresh=False)
        if rank == 0 and bar.disable and (step + 1) % max(1, steps // 10) == 0:
            print(f"step {step + 1}/{steps}  loss {result.loss:.3f}  {batch.global_rows / seconds:.1f} pairs/s", flush=True)
        # A signal may reach one process first, and clocks differ: all must come to the same checkpoint.
        due = time.monotonic() - saved > 60 * running.checkpoint_minutes
        due |= running.checkpoint_steps is not None and (step + 1) % running.checkpoint_steps == 0
        stopping, due = largest(stop.asked, due, device=device)
        if step + 1 < steps and (stopping or due):
            _write_lines(metrics.with_suffix(".partial"), lines)
            checkpoints.save(engine, step + 1)
            saved = time.monotonic()
            if stopping:
                raise AscentError(f"{folder}: stopped by a signal after step {step + 1} of {steps}; run again to go on.")
    bar.close()
    state = whole_state(engine)
    if rank == 0:
        _write_lines(metrics, lines)
        with folder_atomically(folder) as temporary:
            save_like(parent, state, settings.contract, history, temporary)
        metrics.with_suffix(".partial").unlink(missing_ok=True)
    dist.barrier()
    checkpoints.clear()
    dist.destroy_process_group()


def whole_state(engine) -> dict[str, torch.Tensor]:
    """Return the backbone's weights by name, float32 on the CPU; under ZeRO 3 they are gathered first."""
    import deepspeed

    backbone = engine.module.backbone
    stage3 = engine.zero_optimization_stage() == 3
    with deepspeed.zero.GatheredParameters(list(backbone.parameters()), enabled=stage3):
        return {name: tensor.detach().float().cpu().clone() for name, tensor in backbone.state_dict().items()}


class _StopSignal:
    """Remembers SIGTERM and SIGUSR1, with which clusters announce the end, so that the step in hand is finished first."""

    def __init__(self):
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, *_) -> None:
        self.asked = True


def _kept_lines(metrics: Path, start: int) -> list[dict]:
    partial = metrics.with_suffix(".partial")
    if not start or not partial.exists():
        return []
    lines = [json.loads(line) for line in partial.read_text().splitlines()]
    return [line for line in lines if line["step"] <= start]


def _write_lines(path: Path, lines: list[dict]) -> None:
    if dist.get_rank() == 0:
        with write_atomically(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
