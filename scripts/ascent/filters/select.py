"""Keep the rows of the corpus that the data set asks for: one split, one task type."""

import polars as pl

from ..settings import Preparation


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop rows of other splits and of other task types."""
    return pairs.with_columns(
        reason=pl.when(pl.col("split") != dataset.split)
        .then(pl.format("split is {}, not " + dataset.split, "split"))
        .when(pl.col("task") != dataset.task)
        .then(pl.format("task is {}, not " + dataset.task, "task"))
    )
