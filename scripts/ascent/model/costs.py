"""FLOPs and memory per GPU of training and encoding, from shapes and settings alone. Nothing here imports torch.

**FLOPs.** A forward pass takes 2 per matrix parameter and token, and 4 * layers * width per pair of tokens of one text
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1, table 1; PaLM, arXiv 2204.02311, appendix B). Only the layers'
matrices count: embedding tables are looked up, not multiplied, and a pooler sees one token per text. A backward pass
takes twice the forward's. All layers are assumed to attend to the whole text, and padding is ignored, because
mini-batches hold texts of similar length. Mixtures of experts are not covered.

**Memory.** Weights, gradients and Adam's state by ZeRO stage: Rajbhandari et al. 2020, arXiv 1910.02054, sections 3 and
5, with what DeepSpeed adds (stages 1 and 2 clone float32 weights, too; a bucket for reductions; at stage 3 gathered
weights). Activations: counted tensor by tensor as Korthikanti et al. 2022 do (arXiv 2205.05198, section 4.1), whose 34
* tokens * width bytes a layer this gives for a GPT in 16 bits. Their 5 * heads * length^2 of the attention is left out:
torch's fused attention (sdpa), which a GPU uses, does not keep the scores. Torch's autocast keeps more than their 16
bits: norms' inputs in float32, and one 16-bit copy of a layer's input per matrix."""

from collections.abc import Callable
from dataclasses import dataclass

from ..settings.training import Training
from .shape import Shape, forward_flops, step_flops

# The loss's tile, ascent/losses/ring.py, and the most tokens that an encoder embeds at a time on a GPU.
TILE = 4096
ENCODER_TOKENS = 131072
# DeepSpeed's defaults: numbers in the buffer that gradients are reduced through, and in the weights gathered at stage
# 3.
BUCKET = 500_000_000
LIVE_WEIGHTS = 1_000_000_000
# Bytes of a weight in 4 bits, with a scale of 8 bits for 64 of them (QLoRA, arXiv 2305.14314, section 3).
FOUR_BITS = 0.5 + 1 / 64
# Token budgets that are tried on a GPU for stages that name none, and the share of its memory that they may take.
BUDGETS, PLANNED_SHARE = [2**power for power in range(18, 11, -1)], 0.85
# CUDA's context, workspaces of cuBLAS and buffers of NCCL; and the share of the rest that the allocator wastes.
CONTEXT = 1.5e9
FRAGMENTATION = 0.1


def training_flops(shape: Shape, stage: Training, tokens: float, squares: float, *, cached: bool) -> float:
    """Return the FLOPs of training on texts: `step_flops`, and recomputation.

    With `cached`, the gradient cache embeds the texts once more first (arXiv 2101.06983). Activation checkpointing does
    so in the backward pass. An adversarial perturbation doubles everything."""
    again = forward_flops(shape, tokens, squares) * (cached + stage.activation_checkpointing)
    return (step_flops(shape, stage, tokens, squares) + again) * stage.passes


# ---------------------------------------------------------------- memory


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one GPU, by use."""

    weights: float
    gradients: float = 0.0
    optimizer: float = 0.0
    buffers: float = 0.0
    """DeepSpeed's buffers: reductions, and gathered weights at stage 3."""
    activations: float = 0.0
    batch: float = 0.0
    """The batch's embeddings with their gradients, and the loss's tile."""
    host: float = 0.0
    """Not on the GPU: what this process offloads to the machine's memory or to files."""

    @property
    def allowance(self) -> float:
        """Bytes for CUDA's context and for fragmentation."""
        return CONTEXT + FRAGMENTATION * self._held

    @property
    def total(self) -> float:
        """Bytes on the GPU."""
        return self._held + self.allowance

    @property
    def _held(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.buffers + self.activations + self.batch


def training_memory(
    shape: Shape, stage: Training, processes: int, *, texts: int, max_tokens: int, trained: int | None = None
) -> Memory:
    """Return a training stage's memory per GPU.

    `texts`: texts per row, its query included. `trained`: number of weights that train, all if omitted; activations are
    counted as if all trained."""
    rows = -(-stage.batch_size // processes)
    tokens = min(max(stage.token_budget, max_tokens), rows * texts * max_tokens)
    layer = layer_bytes(shape, precision=stage.precision, weights=stage.weights)
    four_bits = stage.adapter is not None and stage.adapter.four_bits
    casts = 2 * shape.matrices if stage.precision != "float32" and stage.weights == "float32" and not four_bits else 0
    if stage.activation_checkpointing:  # all layers' inputs, and one layer's tensors
        activations = tokens * (shape.layers * shape.width * _state_bytes(stage.precision, stage.weights) + 2 * layer)
        activations += casts / shape.layers
    else:  # one more layer for the gradients within the backward pass
        activations = tokens * (shape.layers + 1) * layer + casts
    # The embeddings, their gradient, and its product with the loss's scale, in float32; scores, two intermediate
    # results and their masks per tile.
    documents = stage.batch_size * (texts - 1)
    batch = 3 * 4 * shape.width * stage.batch_size * texts + 14 * min(TILE, rows) * min(
        TILE, max(documents, stage.batch_size)
    )
    if stage.passes > 1:  # the perturbation of all its texts, in float32
        batch += 4 * shape.width * rows * texts * max_tokens
    held = states(shape.parameters, stage, processes, trained)
    if four_bits:
        held["weights"] -= (4 if stage.weights == "float32" else 2) * shape.matrices - FOUR_BITS * shape.matrices
    if (
        stage.queue_size
    ):  # the copy in float32; the share, among the candidates, of the next process, and the gradients of both
        held["weights"] += 4 * shape.parameters
        batch += 5 * 4 * shape.width * -(-stage.queue_size // processes)
    return Memory(activations=activations, batch=batch, **held)


def with_budget(stage: Training, memory: Callable[[Training], Memory], room: float | None) -> Training:
    """Return a stage with a number of mini_batch_tokens: its own, else the largest power of two from 4,096 to 262,144
    with which it takes at most 85 % of a GPU's memory.

    memory: a stage's memory. room: the GPU's, in bytes; None without a GPU. There, and for what `training_memory` does
    not count (pre-training's predictions, token-level outputs), it is 16,384."""
    if stage.mini_batch_tokens is not None:
        return stage
    if room is None or stage.unit != "pairs" or stage.token_level_losses:
        return stage.model_copy(update={"mini_batch_tokens": stage.token_budget})
    tried = [stage.model_copy(update={"mini_batch_tokens": tokens}) for tokens in BUDGETS]
    return next((one for one in tried if memory(one).total <= PLANNED_SHARE * room), tried[-1])


def states(parameters: int, stage: Training, processes: int, trained: int | None = None) -> dict[str, float]:
    """Return the bytes of weights, gradients, optimizer, buffers and host per process.

    `trained`: number of parameters with gradients and moments, all if omitted.

    Bytes a parameter: weights 4 or 2; gradients 4, since the cache's are added up in float32 whatever the weights are;
    Adam's two moments 8, and with bfloat16 weights the optimizer's float32 ones 4.
    """
    width = 4 if stage.weights == "float32" else 2
    offloaded = stage.offload_optimizer != "none"
    clones = stage.weights == "bfloat16" or stage.zero in (1, 2) or offloaded
    trained = parameters if trained is None else trained
    share = trained / processes
    weights = width * (parameters / processes if stage.zero == 3 else parameters)
    gradients = 4 * (share if stage.zero >= 2 else trained)
    optimizer = (8 + 4 * clones) * (share if stage.zero else trained)
    bucket = 4 + (2 if stage.weights == "bfloat16" and stage.zero >= 2 else 0)  # filled in 16 bits, reduced in 32
    buffers = bucket * (BUCKET if stage.zero else 0) + width * (min(parameters, LIVE_WEIGHTS) if stage.zero == 3 else 0)
    host = 0.0
    if offloaded:  # ZeRO-Offload (arXiv 2101.06840) passes gradients to the optimizer in float32
        host, optimizer = optimizer + 4 * share, 0.0
    if stage.offload_weights != "none":
        host, weights = host + weights, 0.0
    return {"weights": weights, "gradients": gradients, "optimizer": optimizer, "buffers": buffers, "host": host}


def checkpoint_bytes(parameters: int, stage: Training, trained: int | None = None) -> float:
    """Return the bytes of a checkpoint, of all processes' files together: of each weight that trains Adam's two moments
    and the optimizer's float32 weight, and at stages 1 and 2 the model's own weight, too; without ZeRO only that
    one."""
    trained = parameters if trained is None else trained
    own = (4 if stage.weights == "float32" else 2) if stage.zero < 3 else 0
    return trained * (8 + own + (4 if stage.zero else 0))


def encoding_memory(shape: Shape, tokens: float, precision: str) -> Memory:
    """Return the memory of embedding this many tokens at a time: float32 weights, and the tensors of one layer."""
    layer = layer_bytes(shape, precision=precision, weights="float32")
    return Memory(weights=4 * shape.parameters, activations=tokens * layer)


def encoder_tokens(shape: Shape, precision: str, room: float) -> int:
    """Return how many tokens an encoder embeds at a time on a GPU of `room` bytes: the largest power of two from 4,096
    to ENCODER_TOKENS with which it takes at most 85 % of them."""
    tried = [tokens for tokens in BUDGETS if tokens <= ENCODER_TOKENS]
    return next(
        (one for one in tried if encoding_memory(shape, one, precision).total <= PLANNED_SHARE * room), tried[-1]
    )


def layer_bytes(shape: Shape, *, precision: str, weights: str) -> float:
    """Return the bytes per token that one layer keeps for the backward pass; see the module's docstring."""
    number = 4 if precision == "float32" else 2
    casts = precision != "float32" and weights == "float32"
    inputs = (3 if casts else 1) + (2 if casts and shape.gated else 1)
    products = inputs * shape.width + 4 * shape.queries + (4 if shape.gated else 2) * shape.inner
    state = _state_bytes(precision, weights)
    norms = 2 * shape.width * (4 + state if shape.rms else state)
    norms += (4 + number) * (shape.queries + shape.keys) if shape.normed_heads else 0
    masks = 2 * shape.width  # dropout's, a byte a number
    return number * products + norms + masks


def _state_bytes(precision: str, weights: str) -> int:
    return 4 if precision == "float32" or weights == "float32" else 2
