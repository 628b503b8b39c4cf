"""What a step of its own finds out of each row of a data set, for the filters that judge by it."""

from typing import ClassVar, Literal

from .base import Count, Name, Seed, Settings
from .evaluation import TaskType
from .model import Backbone, Tokenising
from .prompts import Side


class Measure(Settings):
    """What the settings of every such step have."""

    folder: ClassVar[str]
    """The folder of its results."""

    @property
    def used(self) -> str | None:
        """The model that it needs, if any."""
        return None

    @property
    def encoder(self) -> Backbone | None:
        """The same, if it embeds."""
        return None

    def reads(self) -> dict[str, dict[Side, int | None]]:
        """Return what is planned: for each rule that runs the model, how many distinct texts of each side it reads at
        most; None for all."""
        return {}

    def tokenising(self) -> Tokenising:
        """Return how the model reads the texts."""
        raise NotImplementedError


class ByTeacher(Measure):
    """What measures by a teacher have."""

    teacher: Backbone
    """The model that scores or ranks."""
    task: TaskType
    """The task type, which chooses the prompts."""

    @property
    def used(self) -> str:
        """The teacher's name."""
        return self.teacher.model

    @property
    def encoder(self) -> Backbone:
        """The teacher."""
        return self.teacher

    def tokenising(self) -> Tokenising:
        """Return how the teacher reads the texts."""
        return self.teacher.tokenising(self.task).without_rows()


class Scoring(ByTeacher):
    """scoring.yaml: how a data set's pairs are scored."""

    folder = "scored"

    def reads(self) -> dict[str, dict[Side, int | None]]:
        """All queries and documents."""
        return {"score_pairs": {"query": None, "document": None}}


class Ranking(ByTeacher):
    """ranking.yaml: how a data set's positives are ranked among a pool of its documents."""

    folder = "ranked"

    pool: Count
    """How many distinct documents are drawn."""
    seed: Seed
    """What the draw depends on, besides the texts."""

    def reads(self) -> dict[str, dict[Side, int | None]]:
        """The pool, and all queries and documents."""
        return {"embed_ranked_pool": {"document": self.pool}, "rank_pairs": {"query": None, "document": None}}


class Predicting(Measure):
    """predicting.yaml: how well a language model predicts a data set's texts."""

    folder = "predicted"

    model: Name
    """The model that predicts."""
    max_tokens: Count
    """Tokens of a text that are predicted."""

    @property
    def used(self) -> str:
        """The model's name."""
        return self.model

    def reads(self) -> dict[str, dict[Side, int | None]]:
        """All queries and documents."""
        return {"measure_perplexity": {"query": None, "document": None}}

    def tokenising(self) -> Tokenising:
        """Texts as they are."""
        return Tokenising(query_prompts=[""], document_prompts=[""], max_tokens=self.max_tokens).without_rows()


class Signing(Measure):
    """signing.yaml: how the MinHash signatures of a data set's rows are made."""

    folder = "signed"

    side: Literal["query", "positive", "both"]
    """Which texts of a row are signed."""
    shingle: Count
    """Characters of a shingle."""
    permutations: Count
    """Numbers of a text's signature."""
