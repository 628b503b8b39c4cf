"""Drop rows whose texts have too few or too many words."""

import polars as pl

from ...settings.filters import Words
from .. import words
from . import Context
from .length import outside


def judge(pairs: pl.DataFrame, settings: Words, context: Context) -> pl.DataFrame:
    """Drop rows with a text outside its bounds, which are inclusive."""
    return outside(
        pairs, settings, {side: pairs[side].str.count_matches(words.WORD) for side in ("query", "positive")}, "words"
    )
