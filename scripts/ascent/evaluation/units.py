"""Units: the scores of single queries, pairs or texts behind a task's main score, kept for resampling.

mteb reports means. Intervals and paired tests need what was averaged, so units are taken from mteb while it evaluates:
its metrics per query, the similarities of an STS task, the predictions of each classifier."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import AscentError
from ..files import write_atomically
from ..pairs.parquet import read_columns
from .local_tasks.retrieval import Ranking
from .mteb_names import units_of

SCHEMA = pa.schema(
    {
        "split": pa.string(),
        "subset": pa.string(),
        "unit": pa.string(),
        "score": pa.float64(),
        "reference": pa.float64(),
        "texts": pa.list_(pa.string()),
    }
)
# What a file of units says of itself, in its metadata.
IDENTITY = ("recipe", "stage", "task", "type", "metric")


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of one task for one stage's model."""

    recipe: str
    stage: str
    task: str
    """The task's name."""
    type: str
    """mteb's task type."""
    metric: str
    """The main score's name in mteb."""
    table: pa.Table
    """One row per unit (columns of SCHEMA), subset by subset. `score`: the metric of a query, the share of classifiers
    that labelled a text correctly, or the similarity of a pair. `reference`: the human score of a pair. `texts`: ids of
    the one or two texts that the unit is about, by which units that share a text are known. No rows if the main score
    is neither a mean nor a correlation of units (V-measure)."""

    @property
    def is_mean(self) -> bool:
        """Whether the main score is a mean of units; else it is a correlation with the human scores."""
        return not self.metric.endswith(("spearman", "pearson"))

    def texts(self, rows: slice) -> list[list[str]]:
        """Return the ids of the texts of the units in these rows."""
        return self.table["texts"][rows].to_pylist()

    def subsets(self) -> list[slice]:
        """Return the rows of each subset; the main score is the mean over subsets."""
        keys = list(zip(self.table["split"].to_pylist(), self.table["subset"].to_pylist(), strict=True))
        starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
        return [slice(start, stop) for start, stop in pairwise([*starts, len(keys)])]


class UnitsObserver:
    """Watches one task object while mteb evaluates it."""

    def __init__(self, task) -> None:
        self._task = task
        self._rows: list[dict] = []
        self._type = units_of(task.metadata.type)
        # mteb passes predictions to this method if a folder for them is given. Ours writes no file.
        task._save_task_predictions = self._predictions
        if hasattr(task, "task_specific_scores"):  # tasks that rank are observed by their scores per query
            self._mteb_scores = task.task_specific_scores
            task.task_specific_scores = self._scores
            task._save_task_predictions = lambda *_, **__: None

    def units(self, recipe: str, stage: str) -> Units:
        """Return what was observed."""
        rows = sorted(self._rows, key=lambda row: (row["split"], row["subset"]))
        metadata = self._task.metadata
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        identity = {"recipe": recipe, "stage": stage, "task": metadata.name, "type": metadata.type}
        return Units(**identity, metric=metadata.main_score, table=table)

    def _observe(self, observed, split: str, subset: str) -> None:
        for unit, score, reference, texts in (
            self._type.units(self._task, observed, split, subset) if self._type else ()
        ):
            row = {
                "split": split,
                "subset": subset,
                "unit": unit,
                "score": score,
                "reference": reference,
                "texts": texts,
            }
            self._rows.append(row)

    def _scores(self, scores, qrels, results, hf_split, hf_subset):
        self._observe(Ranking(scores, qrels, results), hf_split, hf_subset)
        return self._mteb_scores(scores, qrels, results, hf_split=hf_split, hf_subset=hf_subset)

    def _predictions(self, predictions, model, folder, *, hf_split, hf_subset) -> None:
        self._observe(predictions, hf_split, hf_subset)


def write_units(path: Path, units: Units) -> None:
    """Write units to a parquet file, and what they belong to into its metadata."""
    identity = {key: getattr(units, key) for key in IDENTITY}
    with write_atomically(path) as temporary:
        pq.write_table(units.table.replace_schema_metadata(identity), temporary, compression="zstd")


def read_units(path: Path) -> Units:
    """Read a file of units. Raises AscentError when it does not say what they belong to."""
    table = read_columns(path, SCHEMA)
    identity = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
    if missing := [key for key in IDENTITY if key not in identity]:
        raise AscentError(f"{path}: does not name its {missing[0]}; re-run evaluate_task.")
    return Units(**{key: identity[key] for key in IDENTITY}, table=table)
