"""Local tasks, and what is evaluated."""

from typing import Literal

from pydantic import model_validator

from .base import Count, Name, Positive, Settings, Split
from .heads import ScoreKind


class LocalTask(Settings):
    """An evaluation task made of the rows of a corpus."""

    type: Literal["retrieval", "reranking", "classification", "clustering", "sts"]
    """The task type; metrics and protocol are mteb's."""
    corpus: str
    """Name of a corpus in config.yaml."""
    split: Split = "test"
    """Which of the corpus's splits is evaluated."""
    queries: Count | None = None
    """Only the first so many queries (by id); all when absent."""
    scores: dict[ScoreKind, Positive] = {}
    """Of retrieval and reranking: the scores whose weighted sum ranks the documents, the embedding's (`dense`) and those of heads
    beside it; the embedding's alone when absent."""

    @model_validator(mode="after")
    def _scores_rank(self):
        if self.scores and self.type not in ("retrieval", "reranking"):
            raise ValueError(f"scores rank documents, and a {self.type} task ranks none: leave them out")
        return self


class Evaluate(Settings):
    """What is evaluated."""

    stages: list[str]
    """The stages, `base` among them where a comparison is wanted."""
    tasks: dict[Name, LocalTask] = {}
    """Tasks made of local corpora, by name."""
    mteb_tasks: list[str] = []
    """Tasks that mteb knows by name; their data come from a hub."""
    benchmarks: list[str] = []
    """Benchmarks that mteb knows by name, such as `MTEB(eng, v2)`: all their tasks."""


class TaskSettings(Settings):
    """<Task>.yaml: an evaluation task's settings, complete, as its job reads them."""

    name: str
    """The task's name: one of the recipe's own, or one that mteb knows."""
    task: LocalTask | None = None
    """How the task is made from a local corpus; nothing for a task that mteb knows by name."""
    language: str = "eng-Latn"
    """Language of a local task's texts, an ISO 639-3 code with script."""
    subsets: list[str] | None = None
    """Subsets that are evaluated of a task that mteb knows, where a benchmark takes only some; all when absent."""
    splits: list[str] | None = None
    """Splits that are evaluated of a task that mteb knows, where a benchmark takes only some; mteb's own when absent."""
    seed: int = 42
    """Seed of what mteb draws at random in a local task; 42 is mteb's own."""
