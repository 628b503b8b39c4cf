"""Stages that make a model of their parents' weights, without training."""

from collections.abc import Iterator
from math import comb
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import Count, Positive, Settings
from .model import Base, Contract
from .pairs import Dataset
from .training import Stage, listed

# How many mixtures may be scored: each embeds the development set.
MOST = 1000


class MergeDevelopment(Settings):
    """What a merge's weights are chosen by."""

    data: str
    """A data set that none of the parents was trained on. Its score is nDCG@10 of its queries among its own documents
    or, if its rows are graded, Spearman's correlation."""
    divisions: Count = 10
    """`weights: grid` tries the multiples of 1 / divisions."""


class Merge(Stage):
    """What every stage has whose weights are computed from its parents', one tensor after another."""

    abstract = True
    rule = "merge"

    @property
    def shares(self) -> list[float]:
        """Each parent's share, unless shares are chosen on a development set; they sum to 1."""
        return [1 / len(self.parents)] * len(self.parents)

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        if repeated := [name for name in self.parents if self.parents.count(name) > 1]:
            yield "from", f"names '{repeated[0]}' more than once; name it once, with the weight that it is to have"
        if len(self.parents) < 2:
            yield "from", f"names {self.parents[0]} alone, but a merge needs two models; name one more"


class Mixture(Merge):
    """A merge with a weight for each parent."""

    abstract = True

    weights: Literal["uniform", "greedy", "grid"] | Annotated[list[Positive], Field(min_length=1)] = "uniform"
    """One weight per parent, scaled to sum to 1; or how they are found. `uniform`: all equal. `greedy`: the best parent
    on the development set is kept, and then, best first, each one whose equal share does not lower the score (the
    greedy soup of arXiv 2203.05482). `grid`: the best on the development set of all weights that are multiples of 1 /
    divisions."""
    development: MergeDevelopment | None = None
    """The development set that `greedy` and `grid` choose by. With it, the stage is compared with the parent that
    scores best there. Default: none; then it is compared with each of its parents."""

    @property
    def shares(self) -> list[float]:
        """See Merge."""
        if isinstance(self.weights, str):
            return super().shares
        return [weight / sum(self.weights) for weight in self.weights]

    @property
    def held_out(self) -> MergeDevelopment | None:
        """See Stage."""
        return self.development

    @property
    def mixtures(self) -> int:
        """How many mixtures of its parents `weights` scores at most, the parents themselves included."""
        parents = len(self.parents)
        most = {"greedy": 2 * parents - 1, "grid": _points(self.development, parents)}
        return most.get(self.weights, parents + 1) if isinstance(self.weights, str) else parents + 1

    @property
    def datasets_read(self) -> list[str]:
        """See Stage."""
        return [self.development.data] if self.development else []

    @property
    def mixed(self) -> str:
        """Its parents and their weights, in words."""
        names = listed(self.parents)
        if self.weights == "uniform":
            return f"{names} in equal shares"
        if isinstance(self.weights, str):
            how = {"greedy": "added greedily", "grid": "in shares chosen"}[self.weights]
            return f"{names}, {how} by the score on {self.development.data}"
        return listed([f"{share:.2g} of {name}" for name, share in zip(self.parents, self.shares, strict=True)])

    def references(self) -> Iterator[tuple[str, str, str]]:
        """See Stage."""
        yield from super().references()
        if self.development:
            yield "development.data", "data set", self.development.data

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        yield from super().problems(base, data, contract)
        if isinstance(self.weights, list) and len(self.weights) != len(self.parents):
            yield "weights", f"has {len(self.weights)} numbers for {len(self.parents)} parents; give one per parent"
        if self.weights == "grid" and self.mixtures > MOST:
            yield (
                "weights",
                f"is grid, which would score {self.mixtures:,} mixtures; lower development.divisions, or use greedy",
            )

    @model_validator(mode="after")
    def _what_is_chosen_is_chosen_by_something(self):
        if self.weights in ("greedy", "grid") and not self.development:
            raise ValueError(
                f"weights: {self.weights} chooses by a development set: set development: {{data: <data set>}}"
            )
        default = MergeDevelopment.model_fields["divisions"].default
        if self.development and self.weights != "grid" and self.development.divisions != default:
            raise ValueError("development.divisions is about weights: grid: remove it, or set weights: grid")
        return self


def _points(development: MergeDevelopment | None, parents: int) -> int:
    """Return how many ways there are to deal `divisions` equal parts to this many parents."""
    return comb(development.divisions + parents - 1, parents - 1) if development else 0


class Linear(Mixture):
    """A stage that takes the weighted mean of its parents' weights (model soup, arXiv 2203.05482)."""

    type: Literal["linear"]
    """The kind of stage."""

    @property
    def summary(self) -> str:
        """See Stage."""
        return f"the weighted mean of models: {self.mixed}"


class Slerp(Mixture):
    """A stage that interpolates its parents' weights on a sphere (Shoemake 1985, doi:10.1145/325165.325242; as Qwen3
    Embedding, arXiv 2506.05176): each tensor turns by a share of the angle between the parents'. More than two parents
    are taken in order, two at a time: each next one with its share of the weights so far."""

    type: Literal["slerp"]
    """The kind of stage."""

    @property
    def summary(self) -> str:
        """See Stage."""
        return f"the spherical interpolation of models: {self.mixed}"


class Mergekit(Merge):
    """A stage that merges its parents by a method of the package mergekit, as sentence-transformers' `merge` does."""

    type: Literal["mergekit"]
    """The kind of stage."""
    package: ClassVar[str] = "mergekit>=0.1.5"
    """See Stage."""
    method: str
    """mergekit's name of the method: karcher, ties, dare_ties, model_stock, multislerp, nuslerp, sce, ..."""
    base: str | None = None
    """The parent that the method takes as the models' common base, for methods that ask for one, such as ties and
    model_stock."""
    parameters: dict[str, bool | int | float | list[float]] = {}
    """The method's parameters by mergekit's names; of one with a value for each model, one value for all or a list in
    the order of `from`, without `base`. A weight is 1 unless it is given."""

    @property
    def summary(self) -> str:
        """See Stage."""
        return f"merged of {listed(self.parents)} by mergekit's {self.method}"

    def references(self) -> Iterator[tuple[str, str, str]]:
        """See Stage."""
        yield from super().references()
        if self.base is not None:
            yield "base", "stage", self.base

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        yield from super().problems(base, data, contract)
        if self.base is not None and self.base not in self.parents:
            yield "base", f"names '{self.base}', which is not a parent of it; add it to from"


class Bfloat16(Merge):
    """A stage that rounds its parent's weights to bfloat16, so that the model folder has half the size. What is rounded
    is what later stages, the evaluation and the release see."""

    type: Literal["bfloat16"]
    """The kind of stage."""

    @property
    def summary(self) -> str:
        """See Stage."""
        return f"{self.parents[0]} with its weights rounded to bfloat16"

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        if len(self.parents) > 1:
            yield "from", f"has {len(self.parents)} parents, but one model is rounded; merge them first"
