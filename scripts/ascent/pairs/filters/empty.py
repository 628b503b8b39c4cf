"""Drop rows with an empty text, as cleaning may leave it."""

import polars as pl

from ...settings.filters import Empty
from . import Context


def judge(pairs: pl.DataFrame, settings: Empty, context: Context) -> pl.DataFrame:
    """Drop rows whose query or positive is empty."""
    return pairs.with_columns(
        reason=pl.when(pl.col("query") == "")
        .then(pl.lit("empty query"))
        .when(pl.col("positive") == "")
        .then(pl.lit("empty positive"))
    )
