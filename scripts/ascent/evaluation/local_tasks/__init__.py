"""Local evaluation tasks: one file per task type, found by its name.

Each file has

    CATEGORY                       mteb's name for what it compares
    MAIN_SCORE                     mteb's name for the main score
    UNITS                          what the main score averages or correlates: queries, texts or pairs
    METRICS                        display names of the type's metrics (without their `_at_<k>`)
    texts(task, tables)            texts to embed by side besides searched documents, for the planner
    mteb_class()                   mteb's class
    fill(mteb_task, task, tables)  gives a task object of mteb its data
    units(mteb_task, observed, split, subset)  units: (name, score, reference, ids of its texts); `observed`: a
                                   Ranking, or mteb's predictions

`task` is the type's settings, `tables` the Tables that it is made of. The planner reads these files too, so mteb and
datasets are imported inside functions only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ...errors import AscentError
from ...pairs.parquet import Table, named
from ...pairs.table import read_pairs
from ...settings.evaluation import LocalTask


@dataclass(frozen=True)
class Tables:
    """The tables that a local task is made of."""

    pairs: Table
    documents: Table | None = None
    """The documents of the same corpus; needed where queries search."""
    pools: Mapping[str, Table] = field(default_factory=dict)
    """The documents of other corpora that queries search in, by corpus."""
    folder: Path | None = None
    """Where what does not fit into memory is written; needed where queries search. It must stay as long as the task."""


def rows_of(task: LocalTask, pairs: Table, *conditions: pl.Expr, split: str | None = None) -> pl.DataFrame:
    """Return the rows that a task evaluates, by query and positive, or all of its rows in another split.

    conditions: what holds of the rows besides their split and task type.

    Raises AscentError when there are none.
    """
    rows = read_pairs(pairs, pl.col("task") == task.rows, pl.col("split") == (split or task.split), *conditions)
    if task.queries is not None and split is None:
        rows = rows.filter(pl.col("query_id").rank("dense") <= task.queries)
    if rows.is_empty():
        raise AscentError(
            f"{named(pairs)}: has no rows for {task.type} in the split '{split or task.split}'; change the task's"
            " corpus or split."
        )
    return rows.sort("query_id", "positive_id")


def check_labels(rows: pl.DataFrame, pairs: Table) -> None:
    """Reject rows whose labels say nothing: AscentError when all have one label, or each has its own."""
    labels = rows["positive"].n_unique()
    if labels == 1 or labels == len(rows):
        said = (
            f"all {len(rows)} texts have the label {rows['positive'][0]!r}"
            if labels == 1
            else "each text has a label of its own"
        )
        raise AscentError(f"{named(pairs)}: {said}, so the score means nothing; change the task's corpus or split.")
