"""The heads that a recipe may name, and each one's settings.

They are applied in the order of their classes. A head's settings are the keyword arguments of the function of its name
in scripts/ascent/model/heads."""

from typing import ClassVar, Literal

from .base import Choice, Component, Count, by_name, components, some_of


class Head(Component):
    """What every head has."""

    folder = "model.heads"
    needs_code: ClassVar[bool] = False
    """Whether sentence-transformers lacks it, so that a model folder contains its code, which users must trust."""
    per_token: ClassVar[str] = ""
    """What a token-level head gives per token, with its name among sentence-transformers' features; empty for other
    heads."""
    score_weight: ClassVar[float] = 1
    """Default weight of a token-level head's score in the sum of scores."""
    loss_weight: ClassVar[float] = 1
    """Default weight of that score's loss in the sum of losses."""


class LatentAttention(Head):
    """Before the pooling: token states attend to learned latents, followed by an MLP (NV-Embed, arXiv 2405.17428). A
    new one changes nothing until it is trained. To load the released model, sentence-transformers needs
    trust_remote_code=True."""

    needs_code = True

    latents: Count = 512
    """Number of latents."""
    heads: Count = 8
    """Number of attention heads, a divisor of the backbone's dimension."""


class Lexical(Head):
    """Token-level: a weight per token, like the sparse output of BGE-M3 (arXiv 2402.03216). Two texts are scored by the
    tokens that they share."""

    per_token = "a weight (`lexical_weights`)"
    score_weight = 0.3
    loss_weight = 0.1  # low, because the head's weights start at random


class MultiVector(Head):
    """Token-level: a vector per token, like the multi-vector output of BGE-M3 (arXiv 2402.03216). Two texts are scored
    by the query's tokens, each by its most similar token of the document."""

    per_token = "a vector (`multi_vectors`, to be scaled to length 1)"

    dimension: Count | None = None
    """Dimension of the vectors. Default: the backbone's."""


class Projection(Head):
    """After the pooling: a linear layer, which changes the embedding's dimension. A new one has orthogonal rows or
    columns."""

    dimension: Count
    """Dimension of the embeddings."""
    bias: bool = False
    """Add a bias."""


# What two texts are compared by: their embeddings, or the outputs of a token-level head.
ScoreKind = Literal[("dense", *(name for name, head in components(Head).items() if head.per_token))]


class _Heads(Choice):
    """Layers between the backbone and the embedding, and token-level heads, trained with the backbone. Each is a module
    in scripts/ascent/model/heads."""

    @property
    def need_code(self) -> bool:
        """Whether sentence-transformers lacks one of them."""
        return any(head.needs_code for head in self.chosen.values())

    @property
    def per_token(self) -> list[str]:
        """The token-level heads."""
        return [name for name, head in self.chosen.items() if head.per_token]


Heads = some_of(Head, "Heads", _Heads)
ChosenHeads = by_name(Heads)
