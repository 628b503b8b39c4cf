"""Drop exact duplicates."""

import polars as pl

from ...settings.filters import Duplicate
from . import Context


def judge(pairs: pl.DataFrame, settings: Duplicate, context: Context) -> pl.DataFrame:
    """Drop a pair that occurred before with the same prompts, and a pair of a text with itself unless the data set's
    positives are its queries."""
    itself = (pl.col("query_id") == pl.col("positive_id")) & (context.positive != "query")
    return pairs.with_columns(
        reason=pl.when(~pl.struct("query_id", "positive_id", "query_prompt", "document_prompt").is_first_distinct())
        .then(pl.lit("the pair occurred before"))
        .when(itself)
        .then(pl.lit("the positive repeats the query"))
    )
