"""One training step whose gradient is that of one process holding the whole batch.

Why it is right. Let a batch of B rows lie on W processes, and L = 1/B * sum over all rows of the row's loss. Each process
computes l_r = W/B * sum over its own rows, against the embeddings of the whole batch. DeepSpeed averages gradients over
processes, so the step's gradient is 1/W * sum_r dl_r/dw, the row losses' sum divided by B: dL/dw, provided that a
process's embeddings also receive what the other processes' rows say of them. A loss that compares rows of several processes
sees to that in its own backward (objectives/infonce.py); one that concerns each row alone has nothing to see to.

The chain is split at the embeddings, and at what heads beside them give for each token (leaves.py): the loss's gradient is
taken there first. The gradient cache (Gao et al. 2021, arXiv 2101.06983) embeds the mini-batches without a graph, embeds each
again with one, and sends its piece backward. Dropout is drawn from a seed made of (seed, step, rank, mini-batch), so the second
pass repeats the first exactly, and so does a resumed run; an adversarial perturbation meets the masks that it was found with.
Only the step's last mini-batch is declared a boundary: DeepSpeed's ZeRO 1 and 2 are silently wrong without.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import deepspeed
import numpy as np
import torch
import torch.distributed as dist

from ..batching import by_length
from ..heads import PREFIX
from ..objectives import Embedded, Objective
from ..stage_settings import Training, TrainStage
from .adversarial import Perturbation
from .collectives import largest
from .data import Batch
from .extensions import await_compilers
from .leaves import Leaves
from .queue import Queue

# Forward passes of more tokens are slower on a CPU (2,048: 3.5k tokens/s, 6,144: 2.6k, 16,384: 2.0k for MiniLM on two cores);
# a GPU takes the whole budget at once.
CPU_FORWARD_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step reports: the whole batch's mean loss, the norm of its gradient before clipping, real tokens embedded, the sum
    of the squares of the texts' lengths, and by their names in metrics.jsonl what else this kind of training tells.
    """

    loss: float
    gradient_norm: float
    tokens: int
    squares: int
    more: dict[str, Any]
    unit: Literal["pairs", "texts"] = "pairs"
    """What a batch's rows are."""


def start_engine(model: torch.nn.Module, stage: Training, steps: int, config: dict):
    """Return a DeepSpeed engine with AdamW and the stage's schedule over `steps` steps. `config`: see deepspeed_config."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if stage.offload_optimizer != "none" or stage.offload_weights != "none":
        await_compilers()
    # DeepSpeed's own AdamW steps on the CPU with vector instructions; it is compiled when it is first used.
    adamw = partial(torch.optim.AdamW, fused=True) if stage.offload_optimizer == "none" else deepspeed.ops.adam.DeepSpeedCPUAdam
    optimizer = adamw([group for group in groups if group["params"]], lr=stage.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, stage.warmup, stage.schedule))
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, lr_scheduler=scheduler, config=config, dist_init_required=False
    )
    engine.train()
    return engine


def deepspeed_config(stage: Training, *, universal: bool = False) -> dict:
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


def optimizer_step(engine, stage: Training) -> float:
    """Take the step of the gradient that the engine was left with; return its norm before clipping."""
    if stage.zero:
        engine.step()
        return float(engine.get_global_grad_norm())
    # Every process holds the whole gradient, and DeepSpeed does not report its norm.
    norm = torch.nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None])
    engine.step()
    return float(norm)


def seed_pass(stage: Training, step: int, index: int) -> None:
    """Seed what mini-batch `index` of this process draws in a step, the same in each of its passes."""
    torch.manual_seed(int(np.random.SeedSequence([stage.seed, step, dist.get_rank(), index]).generate_state(1)[0]))


def forward_tokens(stage: Training, device: torch.device) -> int:
    """Return how many tokens one forward pass takes."""
    return min(stage.mini_batch_tokens, CPU_FORWARD_TOKENS) if device.type == "cpu" else stage.mini_batch_tokens


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
    sources, owners = batch.sources.to(device), batch.owners.to(device)
    losses = batch.weights.to(device) * objective(
        Embedded(
            queries=embeddings[: batch.rows],
            documents=embeddings[batch.rows :],
            owners=owners,
            document_ids=batch.document_ids.to(device),
            answers=batch.answers.to(device),
            groups=batch.groups.to(device),
            labels=batch.labels.to(device),
            sources=sources,
            numbers=(step << 32) + batch.numbers.to(device),
            **batch.taught(device),
            queued=queue.candidates(batch) if queue else None,
            **leaves.tokens(),
        )
    )
    loss = losses.sum() * (dist.get_world_size() / batch.global_rows)
    at_leaves = torch.autograd.grad(loss, leaves.tensors, allow_unused=True, materialize_grads=True)
    gradients = leaves.gradients(at_leaves)
    if not cached:
        gradients = [tuple(torch.cat(parts) for parts in zip(*gradients, strict=True))]
    for index, pieces in enumerate(gradients):
        engine.set_gradient_accumulation_boundary(last and index == len(gradients) - 1)
        outputs = embed(index) if cached else given
        engine.backward(sum((output * piece).sum() for output, piece in zip(outputs, pieces, strict=True)))
    squares = leaves.squares(at_leaves, torch.cat([sources, sources[owners]]), len(stage.data))
    return losses.detach(), squares


def whole_state(engine) -> dict[str, torch.Tensor]:
    """Return the model's weights by name (see heads), float32 on the CPU, as the optimizer holds them; of a part with frozen
    weights, which bfloat16 would have rounded, those that train."""
    state = {}
    for prefix, part in (("", engine.module.backbone), (PREFIX, engine.module.heads)):
        named = dict(part.named_parameters(remove_duplicate=False))
        trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        gathered = [parameter for parameter in part.parameters() if parameter.requires_grad]
        with deepspeed.zero.GatheredParameters(gathered, enabled=engine.zero_optimization_stage() == 3):
            tensors = part.state_dict()
            wanted = tensors if len(trained) == len(named) else trained  # buffers, too
            state |= {f"{prefix}{name}": tensors[name].detach().float().cpu().clone() for name in wanted}
        if engine.bfloat16_enabled():
            for name, parameter in trained.items():
                state[f"{prefix}{name}"] = deepspeed.utils.safe_get_full_fp32_param(parameter).cpu().clone()
    return state
