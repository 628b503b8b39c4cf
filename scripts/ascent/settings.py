"""Recipes, and the settings of single steps that follow from them.

With the modules whose names end in `_settings` this is the only place where a setting is declared: its name, type, default
and meaning. The schemas under config/schemas and the tables of config/README.md are generated from them (`make schemas`), and
a test fails when they drift apart.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .contract_settings import Backbone, Base, Contract, Teacher
from .data_settings import Dataset
from .head_settings import ScoreKind
from .settings_base import Count, Name, Positive, Settings, Split, TaskType
from .source_settings import Corpus, Model
from .stage_settings import AnyStage


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


class Release(Settings):
    """What is released, and how it is called."""

    stage: str
    """The stage whose model is released."""
    name: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    """The model's id on a hub, `organisation/name`."""
    licence: str
    """Licence of the released weights, as the hub writes it: apache-2.0."""
    languages: list[str]
    """Languages, as the hub writes them: en."""
    summary: str
    """One or two sentences at the top of the card."""


class Running(Settings):
    """How training is run and watched. None of it changes what comes out, so an edit of it reruns nothing."""

    loader_workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that read batches ahead, for each process that trains; 0 reads each batch when its step begins. When absent,
    2 where there is a GPU to keep busy, else 0."""

    checkpoint_minutes: Positive = 10
    """A checkpoint is written at least this often."""
    checkpoint_steps: Count | None = None
    """A checkpoint is written after every so many steps, too; not by steps when absent."""
    trackers: list[Literal["tensorboard", "wandb"]] = []
    """Where metrics are also written: `tensorboard` to results/<recipe>/<stage>/tensorboard, `wandb` as its own environment
    variables say. Each needs its package."""


class Recipe(Settings):
    """config/recipes/<recipe>.yaml: one complete recipe."""

    base: Base
    """The model that training starts from, and its prompt contract."""
    data: dict[Name, Dataset]
    """Training pairs by name."""
    stages: dict[Name, AnyStage]
    """Stages by name; `base` is given."""
    shards: Count = 1
    """Pieces in which a data set is encoded, one job each."""
    running: Running = Running()
    """How training is run and watched."""
    evaluate: Evaluate
    """What is evaluated."""
    release: Release
    """What is released."""


# ---------------------------------------------------------------- a step's settings, resolved


class Adoption(Contract):
    """base/stage.yaml: the contract of the model before training, and what is added to the model."""

    soft_tokens: int
    """See Base."""


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


class Teaching(Settings):
    """teacher/<dataset>.yaml: what scores or embeds a data set's texts for a stage to learn."""

    teacher: Teacher
    """The model, and how it is used."""
    task: TaskType
    """The task type, which chooses a bi-encoder's prompts."""


class StageSettings(Settings):
    """stage.yaml: a stage's settings, complete, as its steps read them."""

    recipe: str
    """The recipe's name."""
    name: str
    """The stage's name."""
    stage: AnyStage
    """The stage as the recipe has it, defaults filled in."""
    contract: Contract
    """The contract of the model that the stage makes."""
    tasks: dict[str, TaskType] = {}
    """The task type of each data set."""

    @property
    def where(self) -> str:
        """How error messages name the stage."""
        return f"recipe {self.recipe}, stages.{self.name}"


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


class ReleaseSettings(Settings):
    """release.yaml: what the card tells, complete, as the release step reads it."""

    name: str
    """The recipe's name."""
    recipe: Recipe
    """The recipe, defaults filled in."""
    corpora: dict[str, Corpus]
    """The corpora that the recipe uses, by name."""
    models: dict[str, Model]
    """The models that the recipe uses, by name."""
