"""How a stage's hard negatives are mined, and replaced while it trains."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Count, Names, Positive, Seed, Settings, Split
from .filters import Contamination


class Selection(Settings):
    """mining.yaml: which of each query's nearest documents become its negatives."""

    model: str
    """The stage whose embeddings rank the documents."""
    per_query: Count = 2
    """Negatives to keep per query."""
    ranks: Annotated[tuple[int, int], Field(strict=False)] = (0, 30)
    """Candidates are the documents of these ranks (first included, last excluded), without positives."""
    max_share_of_positive: Positive = 0.95
    """A candidate that scores above this share of the positive's score is dropped as a probable positive (NV-Retriever,
    arXiv 2407.15831, TopK-PercPos)."""
    sampling: Literal["top", "random"] = "top"
    """Take the best candidates, or draw candidates at random."""
    seed: Seed = 0
    """Seed of the draw."""
    reserve: Annotated[int, Field(ge=0)] = 0
    """Further candidates to keep per query for `dynamic`: the next best of these ranks."""

    @model_validator(mode="after")
    def _some_ranks(self):
        if not 0 <= self.ranks[0] < self.ranks[1]:
            raise ValueError(f"ranks {list(self.ranks)} hold no document; write two numbers from 0, the lower first")
        if self.per_query + self.reserve > self.ranks[1] - self.ranks[0]:
            kept = "per_query and reserve" if self.reserve else "per_query"
            raise ValueError(
                f"ranks {list(self.ranks)} hold fewer documents than {kept}, {self.per_query + self.reserve}; widen"
                " them"
            )
        return self


class Dynamic(Settings):
    """Replaces negatives that have become easy while a stage trains by the next of their query's reserve
    (Conan-embedding, arXiv 2408.15710)."""

    every_steps: Count = 100
    """Steps between two checks. A check judges the negatives of these steps by the cosines that training computed."""
    decline: Annotated[float, Field(ge=1)] = 1.15
    """A negative is easy if its score, times this, is below its first score in this stage,"""
    ceiling: Positive = 0.8
    """and if the absolute value of its score is below this."""


class Mining(Selection):
    """How hard negatives are chosen from each query's nearest documents."""

    documents: Names = []
    """Corpora whose documents are ranked, too, besides the positives of the data set: those of the split that the data
    set's pairs are of. A text that occurs several times counts once. Default: none."""
    dynamic: Dynamic | None = None
    """Replace easy negatives from `reserve` while the stage trains. Each batch is then read when its step begins, not
    ahead. If omitted, negatives stay."""

    @model_validator(mode="after")
    def _the_reserve_serves_dynamic(self):
        if (self.dynamic is None) != (self.reserve == 0):
            raise ValueError("reserve and dynamic go together; set both, as in reserve: 50 and dynamic: {}, or neither")
        return self


class PoolEncoding(Settings):
    """pools/<corpus>-<digest>.yaml: how a corpus's documents are embedded to be mined in."""

    split: Split
    """The split of the documents."""
    prompts: Annotated[list[str], Field(min_length=1)]
    """Texts put before a document: of several, each draws one."""
    seed: Seed = 0
    """Draws the prompts, by the document's id."""
    max_tokens: Count
    """Documents are truncated to this many tokens."""
    without: Contamination | None = None
    """Documents that match test texts of these tasks are left out."""
