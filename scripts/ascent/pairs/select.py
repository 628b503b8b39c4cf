"""The rows of a corpus that a data set takes. This is the first step of every data set, before its filters."""

import polars as pl

from ..settings.pairs import CorpusRows


def select(pairs: pl.DataFrame, dataset: CorpusRows, before: int = 0) -> pl.DataFrame:
    """Return all rows with the data set's positives and a column `reason`: null for the first `rows` of its split and
    task.

    before: how many rows of the split and task come before these.
    """
    judged = with_positives(pairs, dataset).with_columns(
        reason=pl.when(pl.col("split") != dataset.split)
        .then(pl.format("split is {}, not " + dataset.split, "split"))
        .when(pl.col("task") != dataset.task)
        .then(pl.format("task is {}, not " + dataset.task, "task"))
    )
    if dataset.rows is None:
        return judged
    chosen = pl.col("reason").is_null()
    behind = pl.when(chosen & (chosen.cum_sum() + before > dataset.rows)).then(
        pl.lit(f"behind the first {dataset.rows} rows")
    )
    return judged.with_columns(reason=behind.otherwise("reason"))


def with_positives(pairs: pl.DataFrame, dataset: CorpusRows) -> pl.DataFrame:
    """Return the rows with the data set's positives: the given ones, or the queries with their prompts, without
    negatives, label and scores."""
    if dataset.positive == "given":
        return pairs
    return pairs.with_columns(
        positive=pl.col("query"),
        positive_id=pl.col("query_id"),
        negatives=pl.lit([], pl.List(pl.String)),
        label=pl.lit(None, pl.Float64),
        scores=pl.lit(None, pl.List(pl.Float64)),
        document_prompt=pl.col("query_prompt"),
    )
