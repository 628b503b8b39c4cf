"""Which rows of a corpus become a data set."""

from typing import Any, Literal

from pydantic import Field, model_validator

from .augmentations import AnyAugmentation
from .base import Count, Seed, Settings, Split, as_written
from .evaluation import TaskType
from .filters import BY_ORIGIN, AnyFilter, Counted, OneFilter
from .measures import Measure
from .model import Backbone
from .prompts import DatasetPrompts


class CorpusRows(Settings):
    """Which rows of a corpus are taken."""

    corpus: str
    """Name of a corpus in config/corpora.yaml."""
    split: Split = "train"
    """Which of the corpus's splits."""
    rows: Count | None = None
    """Take the first rows of the split only, this many. Default: all."""
    task: TaskType = "retrieval"
    """Which of the corpus's rows. This task type also chooses the prompts."""
    positive: Literal["given", "query"] = "given"
    """`query`: each query is its own positive, without negatives and label, and only dropout makes their embeddings
    differ (SimCSE, arXiv 2104.08821)."""


class Repeat(Settings):
    """Which rows are repeated, because few have the same text, or origin."""

    by: Counted = "positive"
    """What is counted, as by the filter `cap`: by default rows of the same positive, which in rows of classes is the
    class."""
    rows: Count
    """Rows of each are repeated until there are this many."""
    most: Count = 10
    """How often a row occurs at most."""
    seed: Seed = 0
    """What the draw of rows that occur once more than others depends on, besides the texts."""


class Filtering(Settings):
    """filtering.yaml: one pass over a data set's rows."""

    select: CorpusRows | None = None
    """Which rows of the corpus are taken, in the first pass."""
    positive: Literal["given", "query"]
    """The data set's `positive`."""
    filters: list[AnyFilter]
    """The filters, in order."""
    repeat: Repeat | None = None
    """As in the data set. A pass that repeats has no filters."""
    augment: list[AnyAugmentation] = []
    """As in the data set."""

    @property
    def looks_back(self) -> bool:
        """Whether it needs the rows of the data set's earlier parts."""
        counts = self.select is not None and self.select.rows is not None
        return counts or any(each.settings.needs == "earlier rows" for each in self.filters)

    @property
    def looks_everywhere(self) -> bool:
        """Whether it needs the rows of all parts of the data set."""
        return self.repeat is not None or any(each.settings.needs == "all rows" for each in self.filters)

    def read_for(self, part: int, files: list[Any]) -> list[Any]:
        """Return which of a table's parts, in order, are read when this part is filtered. It is the last of them,
        unless all are read."""
        if self.looks_everywhere:
            return files
        return files[: part + 1] if self.looks_back else files[part : part + 1]

    @property
    def measured(self) -> str:
        """What is measured of its rows, before; empty if no filter needs it."""
        return next((each.settings.measured for each in self.filters if each.settings.measured), "")


class Dataset(CorpusRows):
    """Training pairs: the rows of a corpus that pass the filters."""

    filters: list[AnyFilter] = Field(["clean", "empty", "length", "duplicate"], validate_default=True)
    """The filters, in order. An item is a filter's name, or a map from its name to its settings; a filter may come
    twice."""
    repeat: Repeat | None = None
    """Repeats rows of rare classes, or of rare documents, queries or prompts, behind all filters."""
    augment: list[AnyAugmentation] = []
    """Rows with altered texts, made of those that passed the filters. An item is an augmentation's name, or a map from
    its name to its settings. Each alters the data set's rows, not those that another added. Labels, negatives and
    scores stay as they are."""
    prompts: DatasetPrompts = DatasetPrompts()
    """Text put before its queries and its documents when a stage trains on it and mines for it, in place of the model's
    `prompts`; with a template, instructions. A list holds paraphrases. Teachers have prompts of their own."""

    @property
    def teachers(self) -> list[Backbone]:
        """The models that embed pairs for the filters."""
        return [measure.encoder for measure in self.measures if measure.encoder]

    @property
    def measured_by(self) -> list[str]:
        """The models that find out what filters judge by, teachers and others."""
        return [measure.used for measure in self.measures if measure.used]

    @property
    def measures(self) -> list[Measure]:
        """What is found out of each row for the filters, in the order of the passes."""
        found = [next(filter(None, (each.settings.measure(self.task) for each in some)), None) for some in self.passes]
        return [measure for measure in found if measure]

    @property
    def language_models(self) -> list[str]:
        """Of these, the ones that predict texts."""
        return [measure.used for measure in self.measures if measure.used and not measure.encoder]

    @property
    def counted_by_origin(self) -> dict[str, str]:
        """What counts rows by their origins or the hosts in them: the key, and which of the two."""
        counting = [("filters", each.cap) for each in self.filters if each.cap] + [("repeat", self.repeat)]
        return {key: each.by for key, each in counting if each and each.by in BY_ORIGIN}

    @property
    def growth(self) -> float:
        """How many rows its augmentations make of one, itself included, at most."""
        return 1 + sum(each.settings.rows for each in self.augment if not each.settings.replace)

    @property
    def passes(self) -> list[list[OneFilter]]:
        """The filters by pass over the rows. A filter that needs other rows begins a pass, and so does one that judges
        by something that is not measured of the pass's rows."""
        passes: list[list[OneFilter]] = [[]]
        measured = None
        for each in self.filters:
            measure = each.settings.measure(self.task)
            if each.settings.compares or measure not in (None, measured):
                passes.append([])
                measured = measure
            passes[-1].append(each)
        return [*passes, []] if self.repeat else passes

    @model_validator(mode="before")
    @classmethod
    def _settings_of_filters(cls, given: Any) -> Any:
        former = ("query_characters", "positive_characters", "decontaminate", "teacher", "min_score")
        keys = [key for key in former if key in given] if isinstance(given, dict) else []
        if not keys:
            return given
        length = {side: given[f"{side}_characters"] for side in ("query", "positive") if f"{side}_characters" in given}
        against, score = given.get("decontaminate"), {"teacher": given.get("teacher"), "min": given.get("min_score")}
        score = {key: value for key, value in score.items() if value is not None}
        filters = ["clean", "empty", {"length": length} if length else "length", "duplicate"]
        if isinstance(listed := given.get("filters"), list) and listed:
            filters = [*([{"length": length}] if length else []), *listed]
        filters = [*filters, *([{"contamination": {"against": against}}] if against else [])]
        filters = [*filters, *([{"score": score}] if score else [])]
        words = f"{', '.join(keys)} {'are settings' if len(keys) > 1 else 'is a setting'} of filters now"
        raise ValueError(f"{words}; write filters: {as_written(filters)}")

    @model_validator(mode="after")
    def _prompts_are_used(self):
        self.prompts.refuse_unused(self.task)
        return self

    @model_validator(mode="after")
    def _teachers_have_two_texts(self):
        if self.teachers and self.positive == "query":
            raise ValueError(
                "positive: query leaves a teacher nothing to score, since both texts are one; remove the filter"
            )
        return self
