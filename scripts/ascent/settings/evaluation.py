"""Local tasks, and what is evaluated."""

from typing import ClassVar, Literal

from .base import Component, Count, Name, Names, Positive, Settings, Split, components, one_of
from .heads import ScoreKind


class LocalTask(Component):
    """What every task made of the rows of a corpus has."""

    folder = "evaluation.local_tasks"
    mteb_types: ClassVar[tuple[str, ...]]
    """mteb's types of text tasks that use this type's prompts. A local task is of the first of them."""
    searches: ClassVar[bool] = False
    """Whether queries search for the rows' positives, which so belong to the corpus's documents."""
    rows: ClassVar[str]
    """The task type of the corpus's rows that it is made of."""
    splits_besides: ClassVar[tuple[str, ...]] = ()
    """Splits that it reads besides the evaluated one."""
    tests_positives: ClassVar[bool] = False
    """Whether the rows' positives are test texts, as their queries are, and must not be trained on."""

    type: str  # named here so that it comes first
    """The task type. Metrics and protocol are mteb's."""
    corpus: str
    """Name of a corpus in config/corpora.yaml."""
    split: Split = "test"
    """The split of the corpus to evaluate."""
    queries: Count | None = None
    """Evaluate the first queries only (by id), this many. Default: all."""

    @property
    def searched(self) -> list[Name]:
        """The corpora whose documents queries search in, the task's own first."""
        return []

    @property
    def pools(self) -> list[Name]:
        """The others of these."""
        return self.searched[1:]


class _Ranking(LocalTask):
    """What tasks have whose queries rank documents."""

    abstract = True
    rows = "retrieval"
    searches = True

    rank_by: dict[ScoreKind, Positive] = {}
    """Rank documents by a weighted sum of scores: one weight per score, `dense` (the embedding's) or a token-level
    head's. Default: the embedding's score alone."""


class Retrieval(_Ranking):
    """Each query ranks all documents of its split (nDCG@10)."""

    mteb_types = ("Retrieval", "InstructionRetrieval")

    type: Literal["retrieval"]
    """The task type. Metrics and protocol are mteb's."""
    documents: Names = []
    """Corpora whose documents are searched, too, besides the task's own: those of the evaluated split. A text that
    occurs several times counts once. Default: none."""

    @property
    def searched(self) -> list[Name]:
        """See LocalTask."""
        return [self.corpus, *self.documents]


class Reranking(_Ranking):
    """Each query ranks its positives and negatives only (MAP)."""

    mteb_types = ("Reranking", "InstructionReranking")

    type: Literal["reranking"]
    """The task type. Metrics and protocol are mteb's."""


class Sts(LocalTask):
    """Similarities of pairs of texts are correlated with their labels (Spearman)."""

    rows = "sts"
    tests_positives = True
    mteb_types = ("STS", "BitextMining", "Summarization")

    type: Literal["sts"]
    """The task type. Metrics and protocol are mteb's."""


class Classification(LocalTask):
    """Classifiers learn labels from a few embeddings of the training split (accuracy)."""

    rows = "classification"
    splits_besides = ("train",)
    mteb_types = ("Classification", "MultilabelClassification")

    type: Literal["classification"]
    """The task type. Metrics and protocol are mteb's."""


class Clustering(LocalTask):
    """Texts are clustered, and the clusters are compared with their labels (V-measure)."""

    rows = "classification"
    mteb_types = ("Clustering",)

    type: Literal["clustering"]
    """The task type. Metrics and protocol are mteb's."""


AnyLocalTask = one_of(LocalTask)
# Types of rows and prompts. No local task can be made of pair-classification rows; both their texts are test texts.
TaskType = Literal[(*components(LocalTask), "pair-classification")]
SEARCHED = [name for name, task in components(LocalTask).items() if task.searches]
# Each text of these rows is a test text, and neither is a query or a document.
TWO_SIDED = [*(name for name, task in components(LocalTask).items() if task.tests_positives), "pair-classification"]
# mteb's types of text tasks, by the task type whose prompts they use.
MTEB_TYPES = {name: task.mteb_types for name, task in components(LocalTask).items()}
MTEB_TYPES |= {"pair-classification": ("PairClassification",), "default": ("Regression", "ZeroShotClassification")}


class Evaluate(Settings):
    """What is evaluated."""

    stages: list[str]
    """The stages to evaluate. Include `base` to compare the others with it."""
    tasks: dict[Name, AnyLocalTask] = {}
    """Tasks made of local corpora, by name."""
    mteb_tasks: list[str] = []
    """Tasks that mteb knows by name. Their data come from a hub."""
    benchmarks: list[str] = []
    """Benchmarks that mteb knows by name, such as `MTEB(eng, v2)`: all their public tasks of text. Others are left out,
    by name in the run's first lines and in the plan."""

    @property
    def corpora(self) -> list[Name]:
        """The corpora that tasks are made of, or search in."""
        return list(dict.fromkeys([*(task.corpus for task in self.tasks.values()), *self.searched_documents]))

    @property
    def searched_documents(self) -> dict[Name, list[Split]]:
        """The corpora whose documents tasks search besides their own, and the splits of these documents."""
        pools = sorted({(corpus, task.split) for task in self.tasks.values() for corpus in task.pools})
        return {corpus: [split for name, split in pools if name == corpus] for corpus, _ in pools}


class TaskSettings(Settings):
    """<Task>.yaml: an evaluation task's settings, complete, as its job reads them."""

    name: str
    """The task's name: one of the recipe's own, or one that mteb knows."""
    task: AnyLocalTask | None = None
    """How to make the task from a local corpus; nothing for a task that mteb knows by name."""
    language: str = "eng-Latn"
    """Language of a local task's texts, an ISO 639-3 code with script."""
    subsets: list[str] | None = None
    """Subsets of one of mteb's tasks to evaluate. Default: all."""
    splits: list[str] | None = None
    """Splits of one of mteb's tasks to evaluate. Default: mteb's."""
    seed: int = 42
    """Seed of mteb's random draws in a local task. Default: mteb's own."""
