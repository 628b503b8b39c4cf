"""What a step of its own finds out of each row of a data set, for the filters that judge by it."""

from typing import ClassVar, Literal

from .base import Count, Seed, Settings
from .evaluation import TaskType
from .model import Backbone


class Measure(Settings):
    """What the settings of every such step have."""

    folder: ClassVar[str]
    """The folder of its results."""


class Scoring(Measure):
    """scoring.yaml: how a data set's pairs are scored."""

    folder = "scored"

    teacher: Backbone
    """The model that scores."""
    task: TaskType
    """The task type, which chooses the prompts."""


class Ranking(Measure):
    """ranking.yaml: how a data set's positives are ranked among a pool of its documents."""

    folder = "ranked"

    teacher: Backbone
    """The model that ranks."""
    task: TaskType
    """The task type, which chooses the prompts."""
    pool: Count
    """How many distinct documents are drawn."""
    seed: Seed
    """What the draw depends on, besides the texts."""


class Signing(Measure):
    """signing.yaml: how the MinHash signatures of a data set's rows are made."""

    folder = "signed"

    side: Literal["query", "positive", "both"]
    """Which texts of a row are signed."""
    shingle: Count
    """Characters of a shingle."""
    permutations: Count
    """Numbers of a text's signature."""
