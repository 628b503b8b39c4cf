"""Drop exact repetitions. (Near ones need another filter.)"""

import polars as pl

from ...settings.pairs import Preparation


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop a pair that occurred before, and a pair of a text with itself, which teaches nothing unless it is asked for."""
    itself = (pl.col("query_id") == pl.col("positive_id")) & (dataset.positive != "query")
    return pairs.with_columns(
        reason=pl.when(~pl.struct("query_id", "positive_id").is_first_distinct())
        .then(pl.lit("the pair occurred before"))
        .when(itself)
        .then(pl.lit("the positive repeats the query"))
    )
