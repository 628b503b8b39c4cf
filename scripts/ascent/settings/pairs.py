"""Which rows of a corpus become a data set."""

from typing import Literal

from pydantic import model_validator

from .base import Count, Settings, Split, TaskType
from .model import Backbone


class Preparation(Settings):
    """Which rows of a corpus become training pairs, and what their texts must be like."""

    corpus: str
    """Name of a corpus in config/corpora.yaml."""
    split: Split = "train"
    """Which of the corpus's splits."""
    rows: Count | None = None
    """Take the first rows of the split only, this many. Default: all."""
    task: TaskType = "retrieval"
    """Which of the corpus's rows, and the task type that chooses the prompt."""
    positive: Literal["given", "query"] = "given"
    """`query`: each query is its own positive, without negatives and label, and only dropout tells the two apart (SimCSE, arXiv
    2104.08821)."""
    query_characters: tuple[Count, Count] = (1, 2000)
    """Shortest and longest query that is kept."""
    positive_characters: tuple[Count, Count] = (1, 100_000)
    """Shortest and longest positive that is kept."""
    decontaminate: list[str] = []
    """Corpora whose validation and test queries may not occur here: a pair with such a text, as query or positive, is dropped.
    Also tasks and benchmarks of mteb, such as `MTEB(eng, v2)`: then all texts that they test with but documents."""

    @model_validator(mode="after")
    def _some_lengths(self):
        for key in ("query_characters", "positive_characters"):
            shortest, longest = getattr(self, key)
            if shortest > longest:
                raise ValueError(f"{key} [{shortest}, {longest}] admit no text: give the shorter length first")
        return self


class Dataset(Preparation):
    """Training pairs: the rows of a corpus that pass the filters. Shared by recipes: the same name means the same rows."""

    teacher: Backbone | None = None
    """A model that scores each pair by the similarity of its two texts."""
    min_score: float | None = None
    """Pairs that the teacher scores lower are dropped."""

    @model_validator(mode="after")
    def _threshold_needs_teacher(self):
        if (self.min_score is None) != (self.teacher is None):
            raise ValueError("min_score and teacher go together: give both or neither")
        if self.teacher and self.positive == "query":
            raise ValueError("positive: query leaves a teacher nothing to score, since both texts are one: leave teacher out")
        return self


class Scoring(Settings):
    """scoring.yaml: how a data set's pairs are scored."""

    teacher: Backbone
    """The model that scores."""
    task: TaskType
    """The task type, which chooses the prompts."""


class Threshold(Settings):
    """threshold.yaml: which scored pairs are kept."""

    min_score: float | None
    """Pairs that the teacher scores lower are dropped."""
