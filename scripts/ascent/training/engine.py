"""One training step whose gradient is that of one process holding the whole batch.

Why it is right. Let a batch of B rows lie on W processes, and L = 1/B * sum over all rows of the row's loss. Each process
computes l_r = W/B * sum over its own rows, against the embeddings of the whole batch. DeepSpeed averages gradients over
processes, so the step's gradient is 1/W * sum_r dl_r/dw, the row losses' sum divided by B: dL/dw, provided that a
process's embeddings also receive what the other processes' rows say of them. The gather's backward sees to that
(training/collectives.py).

The gradient cache (Gao et al. 2021, arXiv 2101.06983) splits the chain at the embeddings: embed the mini-batches without
a graph, take the loss's gradient at the embeddings, embed again with a graph and send each mini-batch's piece backward.
Dropout is drawn from a seed made of (seed, step, rank, mini-batch), so the second pass repeats the first exactly, and so
does a resumed run. Only the last mini-batch is declared a boundary: DeepSpeed's ZeRO 1 and 2 are silently wrong without.
"""

import tempfile
from dataclasses import dataclass

import deepspeed
import numpy as np
import torch
import torch.distributed as dist

from ..batching import by_length, pad
from ..objectives import Embedded, Objective
from ..settings import TrainStage
from .collectives import gather, largest
from .data import Batch

# Forward passes of more tokens are slower on a CPU (2,048: 3.5k tokens/s, 6,144: 2.6k, 16,384: 2.0k for MiniLM on two cores);
# a GPU takes the whole budget at once.
CPU_FORWARD_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step reports: the whole batch's mean loss, the norm of its gradient before clipping, real tokens embedded."""

    loss: float
    gradient_norm: float
    tokens: int


def start_engine(model: torch.nn.Module, stage: TrainStage, steps: int, config: dict):
    """Return a DeepSpeed engine with AdamW and the stage's schedule over `steps` steps. `config`: see deepspeed_config."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": others, "weight_decay": 0.0}]
    # DeepSpeed's own AdamW steps on the CPU with vector instructions; it is compiled when it is first used.
    adamw = torch.optim.AdamW if stage.offload_optimizer == "none" else deepspeed.ops.adam.DeepSpeedCPUAdam
    optimizer = adamw([group for group in groups if group["params"]], lr=stage.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, stage.warmup, stage.schedule))
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, lr_scheduler=scheduler, config=config, dist_init_required=False
    )
    engine.train()
    return engine


def deepspeed_config(stage: TrainStage, *, universal: bool = False) -> dict:
    """Return DeepSpeed's configuration for a stage. Batches and accumulation are ours, so its own are set to one.

    universal: the engine is to load a checkpoint of another number of processes.
    """
    zero: dict = {"stage": stage.zero}
    for key, place in (("offload_optimizer", stage.offload_optimizer), ("offload_param", stage.offload_weights)):
        if place != "none":
            zero[key] = {"device": place, "pin_memory": torch.cuda.is_available()}
            # A cluster gives each job a fast disk of its own by TMPDIR.
            zero[key] |= {"nvme_path": tempfile.gettempdir()} if place == "nvme" else {}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": stage.gradient_clipping,
        "bf16": {"enabled": stage.weights == "bfloat16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 10**9,
    }


def rate(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Return the share of the highest learning rate in step `step` (from 0): linear warm-up, then the schedule."""
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    return {"linear": 1 - done, "cosine": 0.5 * (1 + np.cos(np.pi * done)), "constant": 1.0}[schedule]


def train_step(engine, batch: Batch, objective: Objective, stage: TrainStage, step: int, pad_id: int) -> StepResult:
    """Take one optimizer step on a batch, of which this process holds a share (at least one row)."""
    loss = backward(engine, batch, objective, stage, step, pad_id)
    if stage.zero:
        engine.step()
        norm = engine.get_global_grad_norm()
    else:  # every process holds the whole gradient, and DeepSpeed does not report its norm
        norm = torch.nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None])
        engine.step()
    totals = torch.stack([loss.double(), loss.new_tensor(sum(len(row) for row in batch.tokens)).double()])
    dist.all_reduce(totals)
    return StepResult(loss=float(totals[0]) / dist.get_world_size(), gradient_norm=float(norm), tokens=int(totals[1]))


def backward(engine, batch: Batch, objective: Objective, stage: TrainStage, step: int, pad_id: int) -> torch.Tensor:
    """Leave the whole batch's gradient with the engine; return this process's share of the loss, whose mean over the
    processes is the batch's loss."""
    device = engine.device
    chunk_tokens = min(stage.mini_batch_tokens, CPU_FORWARD_TOKENS) if device.type == "cpu" else stage.mini_batch_tokens
    chunks = by_length([len(row) for row in batch.tokens], chunk_tokens)
    padded = sum(len(chunk) * len(batch.tokens[chunk[0]]) for chunk in chunks)
    padded, count = largest(padded, len(chunks), device=device)
    order = torch.from_numpy(np.concatenate(chunks))
    # Every process makes the same number of passes, else ZeRO's collectives would wait for ever: the extra ones embed
    # one row whose gradient is zero.
    chunks += [chunks[-1][:1]] * (count - len(chunks))

    def embed(index: int) -> torch.Tensor:
        seed = np.random.SeedSequence([stage.seed, step, dist.get_rank(), index]).generate_state(1)[0]
        torch.manual_seed(int(seed))
        return engine(**pad([batch.tokens[row] for row in chunks[index]], pad_id, device))

    def loss_of(embedded: torch.Tensor) -> torch.Tensor:
        rows = embedded[: len(order)][torch.argsort(order).to(device)]
        local = Embedded(
            queries=rows[: batch.rows],
            documents=rows[batch.rows :],
            positives=torch.arange(batch.rows, device=device),
            document_ids=batch.document_ids.to(device),
            answers=batch.answers.to(device),
        )
        loss = objective(local, gather(local)) * (dist.get_world_size() / batch.global_rows)
        return loss + 0.0 * embedded[len(order) :].sum()

    if padded <= stage.mini_batch_tokens:
        loss = loss_of(torch.cat([embed(index) for index in range(count)]))
        engine.set_gradient_accumulation_boundary(True)
        engine.backward(loss)
        return loss.detach()
    with torch.no_grad():
        embedded = torch.cat([embed(index) for index in range(count)])
    embedded.requires_grad_()
    loss = loss_of(embedded)
    (gradient,) = torch.autograd.grad(loss, embedded)
    for index, piece in enumerate(gradient.split([len(chunk) for chunk in chunks])):
        engine.set_gradient_accumulation_boundary(index == count - 1)
        engine.backward((embed(index) * piece).sum())
    return loss.detach()
