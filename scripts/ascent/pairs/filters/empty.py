"""Drop rows in which a text is empty, often after cleaning."""

import polars as pl

from ...settings.pairs import Preparation


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop rows whose query or positive has no character."""
    return pairs.with_columns(
        reason=pl.when(pl.col("query") == "")
        .then(pl.lit("empty query"))
        .when(pl.col("positive") == "")
        .then(pl.lit("empty positive"))
    )
