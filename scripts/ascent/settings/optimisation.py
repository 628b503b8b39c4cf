"""How a stage that trains optimises: learning rate, precision, memory."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Count, Positive, Settings, Share

Offload = Literal["none", "cpu", "nvme"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Optimisation(Settings):
    """Learning rate, precision and memory of a stage that trains."""

    learning_rate: Positive = 2e-5
    """The peak learning rate."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate decays after warm-up."""
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises linearly."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay of matrices. Biases and norms are not decayed."""
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    """AdamW's decay rates of the moments of gradient and squared gradient. Large batches often use 0.95 or 0.98 for the
    second."""
    epsilon: Positive = 1e-8
    """AdamW's epsilon, added to the root of the second moment."""
    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    dropout: Share | None = None
    """Dropout of the backbone. Default: the backbone's own."""
    mini_batch_tokens: Count | None = None
    """Tokens that one process embeds at a time. A larger batch goes through the gradient cache (pre-training
    accumulates gradients), so that this number bounds the memory, not batch_size. Default: on a GPU as many as fit by
    the model's shape, a power of two up to 262,144, which plan and log tell; 16,384 on a CPU, in pre-training and with
    token-level losses."""
    precision: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """Precision of matrix products. `auto` is bfloat16 where the processor supports it; `float8` needs torchao and a
    GPU with FP8 (Hopper), and computes everything else in bfloat16. Weights and optimizer stay float32."""
    compile: bool = False
    """Compile the backbone with torch.compile: a few minutes at the start, faster steps afterwards."""
    zero: Literal[0, 1, 2, 3] = 0
    """DeepSpeed's ZeRO stage: 0 keeps everything on every process, 1 partitions the optimizer's state over the
    processes, 2 also the gradients, 3 also the weights."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """Precision of weights. `bfloat16` needs `zero: 1` or more, whose optimizer holds the float32 weights (DeepSpeed's
    bf16); gradients of mini-batches are added up and reduced in float32."""
    offload_optimizer: Offload = "none"
    """Where the optimizer's state is kept and updated: on the GPU, in the machine's memory, or in files under
    TMPDIR."""
    offload_weights: Offload = "none"
    """Where weights that are not in use are kept. Needs `zero: 3`."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them: a third more work, a fraction of the
    memory."""

    @property
    def token_budget(self) -> int:
        """Tokens that one process embeds at a time; where neither the recipe nor a GPU's memory says, 16,384."""
        return 16384 if self.mini_batch_tokens is None else self.mini_batch_tokens

    @model_validator(mode="after")
    def _zero_supports_the_rest(self):
        if self.offload_weights != "none" and self.zero != 3:
            raise ValueError(f"offload_weights: {self.offload_weights} needs zero: 3, which partitions the weights")
        if self.offload_optimizer != "none" and self.zero == 0:
            raise ValueError(f"offload_optimizer: {self.offload_optimizer} needs zero: 1, 2 or 3")
        if self.offload_optimizer == "nvme" and self.zero != 3:
            raise ValueError("offload_optimizer: nvme needs zero: 3")
        if self.weights == "bfloat16" and self.zero == 0:
            raise ValueError("weights: bfloat16 needs zero: 1, 2 or 3, whose optimizer holds the float32 weights")
        if self.weights == "bfloat16" and self.precision == "float32":
            raise ValueError("weights: bfloat16 leaves no float32 to compute in: set precision: auto or bfloat16")
        return self
