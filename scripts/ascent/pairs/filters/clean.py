"""Remove what is not text: uneven white space, decomposed Unicode and, if asked, HTML tags and entities. Drop
nothing."""

import polars as pl

from ...settings.filters import Clean
from ..table import column_of
from ..text import clean_text, normalise_text, text_id
from . import Context


def judge(pairs: pl.DataFrame, settings: Clean, context: Context) -> pl.DataFrame:
    """Clean all texts and update their ids. Remove a negative that is empty then, with its score."""
    clean = clean_text if settings.html else normalise_text
    queries = [clean(text) for text in pairs["query"]]
    positives = [clean(text) for text in pairs["positive"]]
    cleaned = [[clean(text) for text in row] for row in pairs["negatives"].to_list()]
    negatives = [list(filter(None, row)) for row in cleaned]
    scores = [
        before and [before[0], *(score for score, text in zip(before[1:], row, strict=True) if text)]
        for before, row in zip(pairs["scores"].to_list(), cleaned, strict=True)
    ]
    return pairs.with_columns(
        query=pl.Series(queries, dtype=pl.String),
        positive=pl.Series(positives, dtype=pl.String),
        negatives=column_of("negatives", negatives),
        scores=column_of("scores", scores),
        query_id=pl.Series(map(text_id, queries), dtype=pl.String),
        positive_id=pl.Series(map(text_id, positives), dtype=pl.String),
        reason=pl.lit(None, pl.String),
    )
