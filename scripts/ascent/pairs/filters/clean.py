"""Remove what is not text: HTML tags and entities, uneven white space, decomposed Unicode. Drops nothing."""

import polars as pl

from ...settings.pairs import Preparation
from ..text import clean_text, text_id


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Clean all texts and mend their ids. A negative of which nothing is left is removed, with its score."""
    queries = [clean_text(text) for text in pairs["query"]]
    positives = [clean_text(text) for text in pairs["positive"]]
    cleaned = [[clean_text(text) for text in row] for row in pairs["negatives"].to_list()]
    negatives = [list(filter(None, row)) for row in cleaned]
    scores = [
        own and [own[0], *(score for score, text in zip(own[1:], row, strict=True) if text)]
        for own, row in zip(pairs["scores"].to_list(), cleaned, strict=True)
    ]
    return pairs.with_columns(
        query=pl.Series(queries, dtype=pl.String),
        positive=pl.Series(positives, dtype=pl.String),
        negatives=pl.Series(negatives, dtype=pl.List(pl.String)),
        scores=pl.Series(scores, dtype=pl.List(pl.Float64)),
        query_id=pl.Series(map(text_id, queries), dtype=pl.String),
        positive_id=pl.Series(map(text_id, positives), dtype=pl.String),
        reason=pl.lit(None, pl.String),
    )
