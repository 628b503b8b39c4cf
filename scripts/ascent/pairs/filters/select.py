"""Keep the rows of the corpus that the data set asks for: one split, one task type, perhaps the first only; and its positives."""

import polars as pl

from ...settings.pairs import Preparation


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop rows of other splits and of other task types, and those behind the first `rows`."""
    judged = with_positives(pairs, dataset).with_columns(
        reason=pl.when(pl.col("split") != dataset.split)
        .then(pl.format("split is {}, not " + dataset.split, "split"))
        .when(pl.col("task") != dataset.task)
        .then(pl.format("task is {}, not " + dataset.task, "task"))
    )
    if dataset.rows is None:
        return judged
    chosen = pl.col("reason").is_null()
    behind = pl.when(chosen & (chosen.cum_sum() > dataset.rows)).then(pl.lit(f"behind the first {dataset.rows} rows"))
    return judged.with_columns(reason=behind.otherwise("reason"))


def with_positives(pairs: pl.DataFrame, dataset: Preparation) -> pl.DataFrame:
    """Return the rows with the data set's positives: those given, or the queries, to which negatives, label and scores do not
    belong."""
    if dataset.positive == "given":
        return pairs
    return pairs.with_columns(
        positive=pl.col("query"),
        positive_id=pl.col("query_id"),
        negatives=pl.lit([], pl.List(pl.String)),
        label=pl.lit(None, pl.Float64),
        scores=pl.lit(None, pl.List(pl.Float64)),
    )
