"""Drop pairs whose positive others are closer to the query than (consistency filtering, E5, arXiv 2212.03533)."""

import polars as pl

from ...settings.filters import Rank
from . import Context


def judge(pairs: pl.DataFrame, settings: Rank, context: Context) -> pl.DataFrame:
    """Drop pairs with a rank below the first `top`."""
    reason = pl.lit(f"positive is not in the teacher's first {settings.top}")
    return pairs.with_columns(reason=pl.when(pl.col("rank") > settings.top).then(reason))
