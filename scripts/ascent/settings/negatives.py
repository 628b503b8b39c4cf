"""How a stage's hard negatives are chosen, and replaced while it trains."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Count, Positive, Seed, Settings


class Selection(Settings):
    """mining.yaml: which of the nearest documents of each query become its negatives."""

    model: str
    """The stage whose embeddings rank the documents."""
    per_query: Count = 2
    """Negatives that are kept for each query."""
    ranks: tuple[int, int] = (0, 30)
    """Candidates are the documents of these ranks (first included, last excluded), positives left out."""
    max_share_of_positive: Positive = 0.95
    """A candidate that scores above this share of the positive's score is dropped as a likely positive (NV-Retriever,
    arXiv 2407.15831, TopK-PercPos)."""
    sampling: Literal["top", "random"] = "top"
    """Take the highest candidates, or draw from them at random."""
    seed: Seed = 0
    """Seed of the draw."""
    reserve: Annotated[int, Field(ge=0)] = 0
    """Further candidates that are kept for each query, the next best of these ranks, for `dynamic`."""

    @model_validator(mode="after")
    def _some_ranks(self):
        if not 0 <= self.ranks[0] < self.ranks[1]:
            raise ValueError(f"ranks {list(self.ranks)} hold no document: give two numbers from 0, the lower first")
        return self


class Dynamic(Settings):
    """How negatives that have become easy are replaced while a stage trains, each by the next of its query's reserve
    (Conan-embedding, arXiv 2408.15710)."""

    every_steps: Count = 100
    """Steps between two checks. A check judges the negatives that these steps saw, by the cosines that they computed."""
    decline: Annotated[float, Field(ge=1)] = 1.15
    """A negative is easy when its score, times this, is below the score with which it was first seen in this stage,"""
    ceiling: Positive = 0.8
    """and when its score, without its sign, is below this."""


class Mining(Selection):
    """How hard negatives are chosen from the nearest documents of each query."""

    dynamic: Dynamic | None = None
    """Replaces negatives while the stage trains, from `reserve`; they stay when absent. Each batch is then read when its step
    begins, and not ahead."""

    @model_validator(mode="after")
    def _the_reserve_serves_dynamic(self):
        if (self.dynamic is None) != (self.reserve == 0):
            raise ValueError("reserve and dynamic go together: give both, as reserve: 50 and dynamic: {}, or neither")
        if self.reserve and self.per_query + self.reserve > self.ranks[1] - self.ranks[0]:
            raise ValueError(
                f"ranks {list(self.ranks)} hold fewer documents than per_query and reserve, {self.per_query + self.reserve}: "
                "widen them"
            )
        return self
