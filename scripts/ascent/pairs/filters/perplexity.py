"""Drop rows with a text that a language model predicts too badly or too well (CCNet, arXiv 1911.00359)."""

import polars as pl

from ...settings.filters import Perplexity
from . import Context


def judge(pairs: pl.DataFrame, settings: Perplexity, context: Context) -> pl.DataFrame:
    """Drop rows with a text outside its bounds, which are inclusive."""
    reasons = []
    for side in ("query", "positive"):
        if bounds := getattr(settings, side):
            (low, high), value = bounds, pl.col(f"{side}_perplexity")
            reasons += [
                pl.when(value < low).then(pl.lit(f"{side} of a perplexity below {low:g}")),
                pl.when(value > high).then(pl.lit(f"{side} of a perplexity above {high:g}")),
            ]
    return pairs.with_columns(reason=pl.coalesce(reasons))
