"""Rows and texts of the local evaluation tasks. Nothing here imports mteb: the planner reads them, too."""

from pathlib import Path

import polars as pl

from ..errors import AscentError
from ..pairs.table import read_documents, read_pairs
from ..settings.evaluation import LocalTask


def _of_split(rows: pl.DataFrame, task: LocalTask, pairs: Path) -> pl.DataFrame:
    """Return the rows of the task's split, ordered by query, the first `queries` queries only."""
    rows = rows.filter(pl.col("split") == task.split).sort("query_id", "positive_id")
    if task.queries is not None:
        rows = rows.filter(pl.col("query_id").rank("dense") <= task.queries)
    if rows.is_empty():
        raise AscentError(f"{pairs}: no rows for {task.type} in the split '{task.split}'; mend the task's corpus or split.")
    return rows


def task_texts(task: LocalTask, folder: Path) -> list[tuple[str, pl.Series]]:
    """Return what a local task embeds, by side, as ascent/evaluation/tasks.py gives it to mteb.

    Of a classification task's training texts mteb draws 8 a label, 10 times over; all that it may draw are returned.
    """
    source = {"reranking": "retrieval", "clustering": "classification"}.get(task.type, task.type)
    rows = read_pairs(folder / "pairs.parquet").filter(pl.col("task") == source)
    train, rows = rows.filter(pl.col("split") == "train"), rows.filter(pl.col("split") == task.split)
    if task.type == "reranking":
        rows = rows.filter(pl.col("negatives").list.len() > 0)
    if task.queries is not None:
        rows = rows.filter(pl.col("query_id").rank("dense") <= task.queries)
    if rows.is_empty():
        raise AscentError(
            f"{folder / 'pairs.parquet'}: no rows for {task.type} in the split '{task.split}'; mend the task's corpus or split."
        )
    if task.type == "retrieval":
        documents = read_documents(folder / "documents.parquet").filter(pl.col("split") == task.split)
        return [("query", rows["query"]), ("document", documents["text"])]
    if task.type == "reranking":
        return [("query", rows["query"]), ("document", pl.concat([rows["positive"], rows["negatives"].explode()]))]
    if task.type == "sts":
        return [("query", rows["query"]), ("query", rows["positive"])]
    drawn = train.filter(pl.int_range(pl.len()).over("positive") < 80)
    return [("query", drawn["query"]), ("query", rows["query"])] if task.type == "classification" else [("query", rows["query"])]
