"""Drop pairs with a text that a model is tested with."""

import polars as pl

from ...settings.filters import Contamination
from ..leak_index import LeakIndex
from ..leakage import evaluation_texts, texts_of_rows
from ..tested import Table, TestedTexts
from . import Context

_SPLITS = ("test", "validation")
_SIDES = {"query": "the query", "positive": "the positive", "negatives": "a negative"}


def judge(pairs: pl.DataFrame, settings: Contamination, context: Context) -> pl.DataFrame:
    """Drop pairs with a text that matches a test or validation query of `against` by one of the methods, and say
    which."""
    pairs = pairs.with_row_index("row")
    texts = texts_of_rows(pairs)
    distinct = texts["text"].unique(maintain_order=True)
    places = pl.DataFrame({"text": distinct}).with_row_index("training")
    # In the order in which a row's reasons count.
    reasons = []
    for words, split, index in context.once(settings, lambda: _indices(settings, context.against)):
        matched = index.matches(distinct).unique("training").join(places, "training").join(texts, "text")
        for side, named in _SIDES.items():
            rows = matched.filter(pl.col("side") == side).select("row").unique()
            reasons.append(rows.with_columns(reason=pl.lit(f"{named} {words} a {split} query")))
    none = pl.DataFrame(schema={"row": pl.UInt32, "reason": pl.String})
    first = pl.concat([none, *reasons]).unique("row", keep="first", maintain_order=True)
    return pairs.join(first, "row", how="left", maintain_order="left").drop("row")


def _indices(settings: Contamination, against: pl.DataFrame) -> list[tuple[str, str, LeakIndex]]:
    """Return what a match means, the split, and the index of each method and split."""
    rows = against.filter(pl.col("dataset").is_in(settings.against))
    tested = TestedTexts.of_tables((Table("", split), evaluation_texts(rows, split)) for split in _SPLITS)
    return [
        (method.says, table.kind, LeakIndex(method, tested, [batch]))
        for method in settings.methods.chosen.values()
        for batch, table in enumerate(tested.tables)
    ]
