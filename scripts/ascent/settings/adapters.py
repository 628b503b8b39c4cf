"""The adapters that a stage may name, and each one's settings."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Count, Positive, Settings, Share

# A soft token's name, by its number from 0.
SOFT_TOKEN = "<soft{}>"


class Lora(Settings):
    """A product of two thin matrices beside each linear layer of a frozen backbone (LoRA, arXiv 2106.09685)."""

    type: Literal["lora"]
    """The kind of adapter."""
    rank: Count = 16
    """How thin: each layer gains rank * (inputs + outputs) weights."""
    alpha: Positive = 32
    """The product is scaled by alpha / rank."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead, so that a high rank learns as fast (arXiv 2312.03732)."""
    dropout: Share = 0.1
    """Dropout before the product."""
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    """The linear layers, by the ends of their names, such as [q_proj, v_proj]; `all-linear` is all of the backbone's layers."""


class Qlora(Lora):
    """The same on a backbone whose linear layers are held in 4 bits (NF4, arXiv 2305.14314). Needs a GPU and bitsandbytes."""

    type: Literal["qlora"]
    """The kind of adapter."""


class Bitfit(Settings):
    """Only the biases train (BitFit, arXiv 2106.10199). Llama's, Mistral's and other families have none."""

    type: Literal["bitfit"]
    """The kind of adapter."""


class SoftPrompt(Settings):
    """Only the embeddings of the base's soft tokens train, which the prompts contain (arXiv 2104.08691)."""

    type: Literal["soft_prompt"]
    """The kind of adapter."""


Adapter = Annotated[Lora | Qlora | Bitfit | SoftPrompt, Field(discriminator="type")]
