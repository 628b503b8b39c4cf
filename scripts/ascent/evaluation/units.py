"""Scores of the single queries, pairs and texts behind a task's main score, kept for resampling.

mteb reports means. An interval and a paired test need what was averaged, so it is taken from mteb while it evaluates: the
per-query metrics of its own pytrec_eval, the similarities of an STS task, the predictions of each classifier.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import AscentError
from ..files import write_atomically
from ..pairs.table import read_columns

SCHEMA = pa.schema(
    {
        "split": pa.string(),
        "subset": pa.string(),
        "unit": pa.string(),
        "score": pa.float64(),
        "reference": pa.float64(),
    }
)
# mteb's metrics that are means over queries, and pytrec_eval's names for them.
_PER_QUERY = {
    "ndcg": "ndcg_cut",
    "map": "map_cut",
    "recall": "recall",
    "precision": "P",
    "hit_rate": "success",
}


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of one task for one model."""

    task: str
    """The task's name."""
    type: str
    """mteb's task type."""
    metric: str
    """The main score's name in mteb."""
    table: pa.Table
    """One row a unit (columns of SCHEMA), subset by subset. `score` is the metric of a query, the share of classifiers that
    labelled a text correctly, or the similarity of a pair; `reference` is the human score of a pair. No rows where the main
    score is no mean and no correlation of units (V-measure)."""

    def groups(self) -> list[slice]:
        """Return the rows of each subset; the main score is the mean over subsets."""
        keys = list(zip(self.table["split"].to_pylist(), self.table["subset"].to_pylist(), strict=True))
        starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
        return [slice(start, stop) for start, stop in pairwise([*starts, len(keys)])]


class UnitsObserver:
    """Watches one task object while mteb evaluates it."""

    def __init__(self, task) -> None:
        self._task = task
        self._rows: list[dict] = []
        metadata = task.metadata
        if hasattr(task, "task_specific_scores"):
            self._mteb_scores = task.task_specific_scores
            task.task_specific_scores = self._retrieval
        # mteb hands each task's predictions to this method where a folder for them is given; none is written.
        task._save_task_predictions = self._predictions
        self._identity = {"task": metadata.name, "type": metadata.type, "metric": metadata.main_score}

    def units(self) -> Units:
        """Return what was seen."""
        rows = sorted(self._rows, key=lambda row: (row["split"], row["subset"]))
        return Units(**self._identity, table=pa.Table.from_pylist(rows, schema=SCHEMA))

    def _add(self, split: str, subset: str, rows: Iterator[tuple]) -> None:
        names = ("unit", "score", "reference")
        self._rows.extend({"split": split, "subset": subset} | dict(zip(names, row, strict=True)) for row in rows)

    def _retrieval(self, scores, qrels, results, hf_split, hf_subset):
        matched = re.fullmatch(r"(\w+)_at_(\d+)", self._task.metadata.main_score)
        if matched and matched[1] in _PER_QUERY:
            name = f"{_PER_QUERY[matched[1]]}_{matched[2]}"
            self._add(hf_split, hf_subset, ((query, scores[query][name], None) for query in sorted(scores)))
        return self._mteb_scores(scores, qrels, results, hf_split=hf_split, hf_subset=hf_subset)

    def _predictions(self, predictions, model, folder, *, hf_split, hf_subset) -> None:
        kind, metric = self._task.metadata.type, self._task.metadata.main_score
        data = self._task.dataset.get(hf_subset, self._task.dataset)
        if kind == "STS" and metric.endswith(("spearman", "pearson")):
            similarities = predictions["cosine_scores" if metric.startswith("cosine") else "similarity_scores"]
            pairs = zip(similarities, data[hf_split]["score"], strict=True)
            self._add(hf_split, hf_subset, ((str(i), *pair) for i, pair in enumerate(pairs)))
        elif kind == "Classification" and metric == "accuracy" and not self._task.is_cross_validation:
            correct = np.array(predictions) == np.array(data[hf_split][self._task.label_column_name])
            self._add(
                hf_split,
                hf_subset,
                ((str(i), share, None) for i, share in enumerate(correct.mean(axis=0).tolist())),
            )


def write_units(path: Path, units: Units) -> None:
    """Write units to a parquet file; task, type and metric go into its metadata."""
    identity = {"task": units.task, "type": units.type, "metric": units.metric}
    with write_atomically(path) as temporary:
        pq.write_table(units.table.replace_schema_metadata(identity), temporary, compression="zstd")


def read_units(path: Path) -> Units:
    """Read the units of one task. Raises AscentError when the file is none of ours."""
    table = read_columns(path, SCHEMA)
    identity = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
    if not {"task", "type", "metric"} <= identity.keys():
        raise AscentError(f"{path}: does not say which task it is of; evaluate the task again.")
    return Units(**{key: identity[key] for key in ("task", "type", "metric")}, table=table)
