"""Texts that share a large part of their n-grams, whichever contains the other."""

import polars as pl

from ...settings.leaks import Ngram
from ..shingles import distinct, word_ngrams


def keys(texts: pl.Series, settings: Ngram) -> pl.DataFrame:
    """Return the n-grams of each text."""
    return distinct(word_ngrams(texts, settings.size))


def judge(found: pl.DataFrame, settings: Ngram) -> pl.DataFrame:
    """The score is the larger containment: the share of one text's n-grams that are in the other."""
    score = pl.col("shared") / pl.min_horizontal("training_keys", "test_keys")
    return found.with_columns(score=score).filter(pl.col("score") >= settings.containment)
