"""Drop rows with a text that repeats itself: Gopher's rules of repeated n-grams (arXiv 2112.11446, table A1).

Gopher's other rules are of lines and paragraphs, which normalised texts do not have. A line that recurs is an n-gram
that does. Chinese and Japanese words have about two characters, so that two count as one word here: a name of four
characters is no 4-gram."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from ...settings.filters import Repetition
from ..words import CHARACTER, SLICE, words
from . import Context

# The hash of an n-gram is a polynomial in its words' hashes, modulo 2 ** 64.
_BASE = np.uint64(0x9E3779B97F4A7C15)
# The n of the first of each setting's shares.
_MOST_FREQUENT, _DUPLICATED = 2, 5


def judge(pairs: pl.DataFrame, settings: Repetition, context: Context) -> pl.DataFrame:
    """Drop rows with a text of which n-grams that recur make up too much."""
    slices = [*pairs.iter_slices(SLICE)] or [pairs]
    return pl.concat([_judge(each, settings) for each in slices])


def _judge(pairs: pl.DataFrame, settings: Repetition) -> pl.DataFrame:
    reasons = []
    for side in ("query", "positive"):
        found = words(pairs[side])
        # Of how many characters and words, which are one in Chinese and Japanese, a word is made.
        sizes = np.where(pairs[side].str.count_matches(CHARACTER) * 2 > found.list.len(), 2, 1)
        often, again = np.zeros(len(pairs), dtype=bool), np.zeros(len(pairs), dtype=bool)
        for size in np.unique(sizes).tolist():
            often[sizes == size], again[sizes == size] = _judged(found.filter(sizes == size), size, settings)
        reasons += [
            pl.when(pl.Series(often, dtype=pl.Boolean)).then(pl.lit(f"{side} has few words in a row too often")),
            pl.when(pl.Series(again, dtype=pl.Boolean)).then(pl.lit(f"{side} has many words in a row again")),
        ]
    return pairs.with_columns(reason=pl.coalesce(reasons))


def _judged(words: pl.Series, size: int, settings: Repetition) -> tuple[np.ndarray, np.ndarray]:
    """Return of which texts, given as lists of words, one n-gram makes up too much, and of which all those that recur
    do. size: how many of these words count as one."""
    counts, fewest = words.list.len().to_numpy(), settings.min_words * size
    words = words.filter(counts >= fewest).explode()
    rows = np.repeat(np.arange(len(counts)), np.where(counts >= fewest, counts, 0))
    lengths = words.str.len_chars().to_numpy().astype(np.int64)
    begins = np.concatenate([[0], np.cumsum(lengths)])
    totals = np.maximum(1, np.bincount(rows, lengths, len(counts)))
    often, again = np.zeros(len(counts), dtype=bool), np.zeros(len(counts), dtype=bool)
    most_frequent = {n * size: share for n, share in enumerate(settings.most_frequent, _MOST_FREQUENT)}
    duplicated = {n * size: share for n, share in enumerate(settings.duplicated, _DUPLICATED)}
    for n, places, occurrences in _recurring(
        rows, words.hash().to_numpy(), max([*most_frequent, *duplicated], default=1)
    ):
        if n in most_frequent:
            shares = np.zeros(len(counts))
            np.maximum.at(shares, rows[places], (begins[places + n] - begins[places]) * occurrences)
            often |= shares / totals > most_frequent[n]
        if n in duplicated:
            covered = np.zeros(len(rows), dtype=bool)  # so that a word of overlapping n-grams counts once
            for word in range(n):
                covered[places + word] = True
            again |= np.bincount(rows[covered], lengths[covered], len(counts)) / totals > duplicated[n]
    return often, again


def _recurring(rows: np.ndarray, words: np.ndarray, most: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for each n from 2 to `most` the places of the n-grams that occur more than once in their text, and how
    often they do.

    rows: the text that each word is of, in order. words: each word's hash, uint64.
    """
    places, hashes = np.arange(len(rows)), rows.astype(np.uint64) * _BASE + words
    for n in range(2, most + 1):
        # What begins with no shorter n-gram that recurs does not recur.
        inside = np.flatnonzero(places + n <= len(rows))
        inside = inside[rows[places[inside]] == rows[places[inside] + n - 1]]
        places = places[inside]
        hashes = hashes[inside] * _BASE + words[places + n - 1]
        occurrences = pl.DataFrame({"ngram": hashes}).select(pl.len().over("ngram"))["len"].to_numpy()
        recurs = occurrences > 1
        places, hashes = places[recurs], hashes[recurs]
        yield n, places, occurrences[recurs]
