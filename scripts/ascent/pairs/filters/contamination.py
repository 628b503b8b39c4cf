"""Drop pairs with a text that a model is tested with."""

import polars as pl

from ...settings.filters import Contamination
from ..leakage import evaluation_keys, leakage_key
from . import Context


def judge(pairs: pl.DataFrame, settings: Contamination, context: Context) -> pl.DataFrame:
    """Drop pairs with a text that equals a validation or test query of `against`, whatever its case and punctuation."""
    keys = context.once(settings, lambda: _keys(settings, context.against))
    texts = {
        "the query": [[text] for text in pairs["query"]],
        "the positive": [[text] for text in pairs["positive"]],
        "a negative": pairs["negatives"].to_list(),
    }
    return pairs.with_columns(
        reason=pl.coalesce(
            pl.when(
                pl.Series([any(leakage_key(text) in keys[split] for text in row) for row in texts[which]], dtype=pl.Boolean)
            ).then(pl.lit(f"{which} is a {split} query"))
            for split in keys
            for which in texts
        )
    )


def _keys(settings: Contamination, against: pl.DataFrame) -> dict[str, set[str]]:
    """Return the keys of the texts that each split tests with."""
    rows = against.filter(pl.col("dataset").is_in(settings.against))
    return {split: set(evaluation_keys(rows, split)) for split in ("test", "validation")}
