"""Drop rows whose texts are too short or too long, in characters."""

import polars as pl

from ...settings.filters import Length
from . import Context


def judge(pairs: pl.DataFrame, settings: Length, context: Context) -> pl.DataFrame:
    """Drop rows with a text outside its bounds, which are inclusive."""
    reasons = []
    for side, (low, high) in {"query": settings.query, "positive": settings.positive}.items():
        length = pl.col(side).str.len_chars()
        reasons += [
            pl.when(length < low).then(pl.lit(f"{side} shorter than {low} characters")),
            pl.when(length > high).then(pl.lit(f"{side} longer than {high} characters")),
        ]
    return pairs.with_columns(reason=pl.coalesce(reasons))
