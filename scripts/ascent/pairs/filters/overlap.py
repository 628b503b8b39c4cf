"""Drop pairs that share too many words, or too few."""

import polars as pl

from ...settings.filters import Overlap
from ..words import words
from . import Context


def judge(pairs: pl.DataFrame, settings: Overlap, context: Context) -> pl.DataFrame:
    """Drop pairs whose positive contains the query, or has too many or too few of its words. A query without words is
    kept."""
    query = words(pairs["query"]).list.unique()
    shared = query.list.set_intersection(words(pairs["positive"])).list.len() / query.list.len()
    low, high = settings.words
    reasons = [
        pl.when(shared < low).then(pl.lit(f"less than {low:.0%} of the query's words are in the positive")),
        pl.when((shared > high) & shared.is_not_nan()).then(
            pl.lit(f"more than {high:.0%} of the query's words are in the positive")
        ),
    ]
    if not settings.verbatim:
        query, positive = (pl.col(side).str.to_lowercase() for side in ("query", "positive"))
        reasons.insert(
            0, pl.when(positive.str.contains(query, literal=True)).then(pl.lit("the positive contains the query"))
        )
    return pairs.with_columns(reason=pl.coalesce(reasons))
