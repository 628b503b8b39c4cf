"""One training step whose gradient is that of one process holding the whole batch.

Why it is right. Let a batch of B rows lie on W processes, and L = 1/B * sum over all rows of the row's loss. Each
process computes l_r = W/B * sum over its own rows, against the embeddings of the whole batch. DeepSpeed averages
gradients over processes, so the step's gradient is 1/W * sum_r dl_r/dw, that of the row losses' sum divided by B:
dL/dw, provided that a process's embeddings also receive the gradients of the other processes' rows. A loss that
compares rows of several processes ensures that in its own backward pass (losses/ring.py); a loss of single rows needs
nothing.

The chain is split at the embeddings and the outputs of token-level heads (gradient_cache.py): the loss is
differentiated there first. The gradient cache (Gao et al. 2021, arXiv 2101.06983) embeds the mini-batches without a
graph, then embeds each again with one and sends its piece of the gradient back. Dropout is seeded by (seed, step, rank,
mini-batch), so the second pass repeats the first exactly, and so does a resumed run; the perturbed pass of adversarial
training uses the same dropout masks. Only the step's last mini-batch is declared a boundary: otherwise DeepSpeed's ZeRO
1 and 2 are silently wrong.
"""

import io
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ..settings.training import Training
from .job.distributed import await_compilers, deepspeed
from .weights import shard

# Larger forward passes are slower on a CPU (MiniLM on two cores: 3.5k tokens/s with 2,048, 2.6k with 6,144, 2.0k with
# 16,384); a GPU takes the whole budget at once.
CPU_FORWARD_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step reports: the whole batch's mean loss, the norm of its gradient before clipping, real tokens embedded,
    the sum of the squares of the texts' lengths, and further metrics of this kind of training by their names in
    metrics.jsonl.
    """

    loss: float
    gradient_norm: float
    tokens: int
    squares: int
    more: dict[str, Any]


def start_engine(model: torch.nn.Module, stage: Training, steps: int, config: dict, device: torch.device):
    """Return a DeepSpeed engine on a device, with AdamW and the stage's schedule over `steps` steps.

    model: on the CPU or the device; at ZeRO 3 the first process's weights are everyone's, see weights.py. config: see
    deepspeed_config.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if stage.zero == 3:
        shard(model, stage, config, device)
    else:
        model.to(device)
    if stage.offload_optimizer != "none" or stage.offload_weights != "none":
        await_compilers()
    # DeepSpeed's own AdamW updates on the CPU with vector instructions; it is compiled on first use.
    adamw = (
        partial(torch.optim.AdamW, fused=True)
        if stage.offload_optimizer == "none"
        else deepspeed.ops.adam.DeepSpeedCPUAdam
    )
    groups = [group for group in groups if group["params"]]
    optimizer = adamw(groups, lr=stage.learning_rate, betas=tuple(stage.betas), eps=stage.epsilon)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, steps, stage.warmup, stage.schedule)
    )
    with redirect_stdout(io.StringIO()):  # its optimizer for bfloat16 prints the memory a dozen times
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, lr_scheduler=scheduler, config=config, dist_init_required=False
        )
    engine.train()
    return engine


def deepspeed_config(stage: Training, *, universal: bool = False) -> dict:
    """Return DeepSpeed's configuration for a stage. Batches and accumulation are ours, so its own are set to one.

    universal: whether the engine will load a checkpoint of another number of processes.
    """
    zero: dict = {"stage": stage.zero}
    for key, place in (("offload_optimizer", stage.offload_optimizer), ("offload_param", stage.offload_weights)):
        if place != "none":
            zero[key] = {"device": place, "pin_memory": torch.cuda.is_available()}
            # On a cluster, TMPDIR is the job's own fast disk.
            zero[key] |= {"nvme_path": tempfile.gettempdir()} if place == "nvme" else {}
    rounded = stage.weights == "bfloat16"
    # Hundreds of mini-batches added up in bfloat16 would lose a quarter of the gradient, so sums and reductions are
    # float32.
    sums = {"data_types": {"grad_accum_dtype": "fp32"}, "communication_data_type": "fp32"} if rounded else {}
    return sums | {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": stage.gradient_clipping,
        "bf16": {"enabled": rounded},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 10**9,
    }


def rate(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Return the share of the peak learning rate in step `step` (from 0): linear warm-up, then the schedule."""
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    return {"linear": 1 - done, "cosine": 0.5 * (1 + np.cos(np.pi * done)), "constant": 1.0}[schedule]


def optimizer_step(engine, stage: Training) -> float:
    """Take an optimizer step with the engine's gradient; return its norm before clipping."""
    if stage.zero:
        engine.step()
        return float(engine.get_global_grad_norm())
    # Every process holds the whole gradient, and DeepSpeed does not report its norm.
    norm = torch.nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None])
    engine.step()
    return float(norm)


def seed_pass(stage: Training, step: int, index: int) -> None:
    """Seed the random draws of mini-batch `index` of this process in a step, the same in each of its passes."""
    torch.manual_seed(int(np.random.SeedSequence([stage.seed, step, dist.get_rank(), index]).generate_state(1)[0]))


def forward_tokens(stage: Training, device: torch.device) -> int:
    """Return the number of tokens per forward pass."""
    return min(stage.token_budget, CPU_FORWARD_TOKENS) if device.type == "cpu" else stage.token_budget
