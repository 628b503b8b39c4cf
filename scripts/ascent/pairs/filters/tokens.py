"""Drop rows whose texts are too short or too long, in tokens."""

import polars as pl

from ...settings.filters import Tokens
from ..tokenizer import count_tokens, load_tokenizer
from . import Context
from .length import outside


def judge(pairs: pl.DataFrame, settings: Tokens, context: Context) -> pl.DataFrame:
    """Drop rows with a text outside its bounds, which are inclusive. Raises AscentError if the model has no
    tokenizer.json."""
    tokenizer = context.once(settings, lambda: load_tokenizer(context.models.get(settings.model), "filter tokens"))
    counts = {
        side: pl.Series(count_tokens(tokenizer, pairs[side].to_list()), dtype=pl.Int64)
        for side in ("query", "positive")
    }
    return outside(pairs, settings, counts, "tokens")
