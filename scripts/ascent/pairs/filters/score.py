"""Drop pairs that the teacher finds unrelated (consistency filtering, C-Pack, arXiv 2309.07597)."""

import polars as pl

from ...settings.filters import Score
from . import Context


def judge(pairs: pl.DataFrame, settings: Score, context: Context) -> pl.DataFrame:
    """Drop pairs with a score below `min`."""
    return pairs.with_columns(
        reason=pl.when(pl.col("score") < settings.min).then(pl.lit(f"score below {settings.min}"))
    )
