"""Leakage: no text that a model is tested with may be among its training texts.

Texts are compared by a key that ignores markup, case, width, white space and punctuation, so that `What is term life
insurance?` equals `what is Term-Life insurance`; but not `C#` and `C`, or `What is <b>?` and `What is <i>?`. Equal text
ids imply equal keys."""

import re
import unicodedata

import polars as pl

from ..settings.evaluation import TWO_SIDED
from .text import plain_text

# Punctuation that belongs to a word or number: C#, #tag, @name, 50 %, .NET, 1.5, 1/2. It is kept in place of a private
# character. Each branch begins with its mark, so that re looks for marks only: ten times faster than with what is
# before them in front.
_KEPT = re.compile(r"#(?:(?<=\w#)|(?=\w))|@|%|\.(?:(?=\w)(?<![\w.]\.)|(?<=\d\.)(?=\d))|/(?<=\d/)(?=\d)")
_PRIVATE = 0xF0000


class _Ignored(dict):
    """A table for str.translate that removes punctuation, separators and control characters, except private ones."""

    def __missing__(self, code: int) -> int | None:
        removed = code < _PRIVATE and unicodedata.category(chr(code))[0] in "PZC"
        self[code] = None if removed else code
        return self[code]


_IGNORED = _Ignored()


def leakage_key(text: str) -> str:
    """Return the key that a text is compared by: the text itself if it is all punctuation."""
    text = plain_text(text)
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = _KEPT.sub(lambda mark: chr(_PRIVATE + ord(mark[0])), folded)
    return kept.translate(_IGNORED) or text


def evaluation_texts(pairs: pl.DataFrame, split: str) -> pl.Series:
    """Return the distinct texts that a split of a pair table tests with: queries, and positives where both sides are
    tested."""
    rows = pairs.filter(pl.col("split") == split)
    both = rows.filter(pl.col("task").is_in(TWO_SIDED))["positive"]
    return pl.concat([rows["query"], both.alias("query")]).unique(maintain_order=True).alias("text")


def label_texts(pairs: pl.DataFrame, split: str) -> pl.Series:
    """Return the distinct labels of a split of a pair table, where they are texts."""
    rows = pairs.filter((pl.col("split") == split) & (pl.col("task") == "classification"))
    return rows["positive"].unique(maintain_order=True).alias("text")


def texts_of_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the texts that a stage may train on: `row` as in `pairs`, `side` (its column) and `text`. Documents of
    pre-training and mined negatives are among them."""
    sides = [pairs.select("row", side=pl.lit(side), text=pl.col(side)) for side in ("query", "positive")]
    negatives = pairs.select("row", side=pl.lit("negatives"), text=pl.col("negatives"))
    return pl.concat([*sides, negatives.explode("text").drop_nulls("text")])
