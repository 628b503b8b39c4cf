"""The heads that a recipe may name, and each one's settings.

They are applied in the order of their classes. A head's settings are the keyword arguments of the function of its name in
scripts/ascent/model/heads.
"""

from typing import ClassVar, Literal

from .base import Choice, Component, Count, by_name, components, some_of


class Head(Component):
    """What every head has."""

    folder = "model.heads"
    needs_code: ClassVar[bool] = False
    """Whether sentence-transformers lacks it, so that a model folder holds its code and users must trust that."""
    beside: ClassVar[str] = ""
    """Of one beside the embedding: what it gives for each token, and its name among sentence-transformers' features."""


class LatentAttention(Head):
    """Before the pooling: token states attend to learned latents, and an MLP follows (NV-Embed, arXiv 2405.17428). A new one
    changes nothing until it is trained. Who loads the released model by sentence-transformers must say trust_remote_code=True."""

    needs_code = True

    latents: Count = 512
    """Number of latents."""
    heads: Count = 8
    """Number of attention heads, a divisor of the backbone's dimension."""


class Lexical(Head):
    """Beside the embedding: a weight for each token, as the sparse output of BGE-M3 (arXiv 2402.03216). Two texts score by the
    tokens that they share."""

    beside = "a weight (`lexical_weights`)"


class MultiVector(Head):
    """Beside the embedding: a vector for each token, as the multi-vector output of BGE-M3 (arXiv 2402.03216). Two texts score by
    the query's tokens, each by the document's token that is most like it."""

    beside = "a vector (`multi_vectors`, to be scaled to length 1)"

    dimension: Count | None = None
    """Dimension of the vectors; the backbone's when absent."""


class Projection(Head):
    """Behind the pooling: a linear layer, which gives embeddings another dimension. A new one has orthogonal rows or columns."""

    dimension: Count
    """Dimension of the embeddings."""
    bias: bool = False
    """Whether a vector is added, too."""


# By what two texts are compared: by their embeddings, or by what a head beside these gives.
ScoreKind = Literal[("dense", *(name for name, head in components(Head).items() if head.beside))]


class _Heads(Choice):
    """Layers between the backbone and the embedding, or beside it, trained along with the backbone. Each is a module of
    scripts/ascent/model/heads."""

    @property
    def need_code(self) -> bool:
        """Whether sentence-transformers lacks one of them."""
        return any(head.needs_code for head in self.chosen.values())

    @property
    def beside(self) -> list[str]:
        """Those that give something beside the embedding."""
        return [name for name, head in self.chosen.items() if head.beside]


Heads = some_of(Head, "Heads", _Heads)
ChosenHeads = by_name(Heads)
