"""Drop pairs that would leak an evaluation: a text of theirs is a validation or test query."""

import polars as pl

from ...settings.pairs import Preparation
from ..leakage import evaluation_keys, leakage_key


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Drop pairs with a text that is, but for case and punctuation, a query of `dataset.decontaminate`."""
    rows = against.filter(pl.col("dataset").is_in(dataset.decontaminate))
    keys = {split: set(evaluation_keys(rows, split)) for split in ("test", "validation")}
    return pairs.with_columns(
        reason=pl.coalesce(
            pl.when(pl.Series([leakage_key(text) in keys[split] for text in pairs[side]], dtype=pl.Boolean)).then(
                pl.lit(f"the {side} is a {split} query")
            )
            for split in keys
            for side in ("query", "positive")
        )
    )
