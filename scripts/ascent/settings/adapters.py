"""The adapters that a stage may name, and each one's settings."""

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import Component, Count, Positive, Share, one_of

# A soft token's name, by its number from 0.
SOFT_TOKEN = "<soft{}>"


class Adapter(Component):
    """What trains in place of a frozen backbone's weights, and is merged into them when the stage ends."""

    folder = "model.adapters"
    four_bits: ClassVar[bool] = False
    """Whether the backbone's matrices are held in 4 bits."""
    trains_soft_tokens: ClassVar[bool] = False
    """Whether it trains the soft tokens of the prompts, instead of the backbone's own weights."""

    def trained(self, shapes: dict[str, list[int]], width: int, soft_tokens: int) -> int:
        """Return how many weights it trains in a backbone with tensors of these shapes and embeddings of this width."""
        raise NotImplementedError


class Lora(Adapter):
    """A product of two thin matrices added to each linear layer of a frozen backbone (LoRA, arXiv 2106.09685)."""

    type: Literal["lora"]
    """The adapter."""
    rank: Count = 16
    """Rank of the product: each layer gains rank * (inputs + outputs) weights."""
    alpha: Positive = 32
    """The product is scaled by alpha / rank."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead, so that a high rank learns as fast (arXiv 2312.03732)."""
    dropout: Share = 0.1
    """Dropout before the product."""
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    """The linear layers, by the ends of their names, such as [q_proj, v_proj]; `all-linear` is all of the backbone's
    layers."""

    def trained(self, shapes: dict[str, list[int]], width: int, soft_tokens: int) -> int:
        matrices = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if len(shape) == 2}
        return self.rank * sum(sum(shape) for name, shape in matrices.items() if self._is_target(name))

    def _is_target(self, name: str) -> bool:
        if self.targets == "all-linear":
            return any(part.isdigit() for part in name.split(".")) and not name.endswith("relative_attention_bias")
        return any(name == target or name.endswith(f".{target}") for target in self.targets)


class Qlora(Lora):
    """LoRA on a backbone whose linear layers are held in 4 bits (NF4, arXiv 2305.14314). Needs a GPU and
    bitsandbytes."""

    four_bits = True

    type: Literal["qlora"]
    """The adapter."""


class Bitfit(Adapter):
    """Only the biases train (BitFit, arXiv 2106.10199). Llama, Mistral and some other families have none."""

    type: Literal["bitfit"]
    """The adapter."""

    def trained(self, shapes: dict[str, list[int]], width: int, soft_tokens: int) -> int:
        return sum(prod(shape) for name, shape in shapes.items() if name.split(".")[-1] == "bias")


class SoftPrompt(Adapter):
    """Only the embeddings of the base's soft tokens train, which the prompts contain (arXiv 2104.08691)."""

    trains_soft_tokens = True

    type: Literal["soft_prompt"]
    """The adapter."""

    def trained(self, shapes: dict[str, list[int]], width: int, soft_tokens: int) -> int:
        return soft_tokens * width


ChosenAdapter = one_of(Adapter)
