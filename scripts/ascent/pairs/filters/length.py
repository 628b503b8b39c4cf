"""Drop rows whose texts are too short or too long, in characters."""

import polars as pl

from ...settings.filters import Bounds, Length
from . import Context


def judge(pairs: pl.DataFrame, settings: Length, context: Context) -> pl.DataFrame:
    """Drop rows with a text outside its bounds, which are inclusive."""
    return outside(pairs, settings, {side: pairs[side].str.len_chars() for side in ("query", "positive")}, "characters")


def outside(pairs: pl.DataFrame, bounds: Bounds, lengths: dict[str, pl.Series], unit: str) -> pl.DataFrame:
    """Return the pairs with the reason of those whose query or positive, of these lengths in a unit, is outside its
    bounds."""
    reasons = []
    for side, length in lengths.items():
        low, high = getattr(bounds, side)
        reasons += [
            pl.when(length < low).then(pl.lit(f"{side} shorter than {low} {unit}")),
            pl.when(length > high).then(pl.lit(f"{side} longer than {high} {unit}")),
        ]
    return pairs.with_columns(reason=pl.coalesce(reasons))
