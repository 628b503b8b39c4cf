"""Drop rows whose texts are shorter or longer than the data set's bounds, in characters."""

import polars as pl

from ...settings.pairs import Preparation


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop rows outside `query_characters` or `positive_characters`; the bounds themselves are kept."""
    reasons = []
    for side, (low, high) in {
        "query": dataset.query_characters,
        "positive": dataset.positive_characters,
    }.items():
        length = pl.col(side).str.len_chars()
        reasons += [
            pl.when(length < low).then(pl.lit(f"{side} shorter than {low} characters")),
            pl.when(length > high).then(pl.lit(f"{side} longer than {high} characters")),
        ]
    return pairs.with_columns(reason=pl.coalesce(reasons))
