"""Leakage: no text that a model is tested with may be among its training texts.

Texts are compared by a key that ignores markup, case, width, white space and punctuation, so that `What is term
life insurance?` equals `what is Term-Life insurance`; but not `C#` and `C`, or `What is <b>?` and `What is <i>?`. Equal text
ids imply equal keys.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import polars as pl

from ..errors import AscentError
from ..settings.evaluation import TWO_SIDED
from .text import plain_text

# Punctuation that belongs to a word or number: C#, #tag, @name, 50 %, .NET, 1.5, 1/2. It is kept in place of a private character.
_KEPT = re.compile(r"(?<=\w)#|#(?=\w)|[@%]|(?<![\w.])\.(?=\w)|(?<=\d)[./](?=\d)")
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


def evaluation_keys(pairs: pl.DataFrame, split: str) -> dict[str, str]:
    """Return the texts that a split of a pair table tests with, by key."""
    rows = pairs.filter(pl.col("split") == split)
    texts = [*rows["query"], *rows.filter(pl.col("task").is_in(TWO_SIDED))["positive"]]
    return {leakage_key(text): text for text in dict.fromkeys(texts)}


def training_texts(pairs: pl.DataFrame) -> list[str]:
    """Return the distinct texts of pairs that a stage may train on: queries, positives and negatives.

    Documents of pre-training and mined negatives are among them.
    """
    columns = [pairs["query"], pairs["positive"], pairs["negatives"].explode().drop_nulls()]
    return pl.concat([column.rename("text") for column in columns]).unique(maintain_order=True).to_list()


def check_leakage(
    training: Iterable[pl.DataFrame], evaluation: Iterable[pl.DataFrame], splits: Sequence[str] = ("test",)
) -> dict:
    """Compare the training pairs' texts, negatives included, with the texts that the evaluation pairs' splits test with.

    Return the counts of what was compared. Raises AscentError, which names the first leaked text.
    """
    counts = {"splits": list(splits), "training": {}, "evaluation": {}, "leaked": 0}
    tested = {}
    for pairs in evaluation:
        corpus, texts = pairs["dataset"][0], 0
        for split in splits:
            keys = evaluation_keys(pairs, split)
            texts += len(keys)
            tested |= {key: (corpus, split, text) for key, text in keys.items()}
        before = counts["evaluation"].get(corpus, {"texts": 0})
        counts["evaluation"][corpus] = {"texts": before["texts"] + texts}
    for pairs in training:
        name = pairs["dataset"][0]
        texts = training_texts(pairs)
        leaked = [text for text in texts if leakage_key(text) in tested]
        if leaked:
            corpus, split, text = tested[leakage_key(leaked[0])]
            raise AscentError(
                f"data set {name}: {len(leaked)} of its texts are test texts, first '{leaked[0][:200]}' "
                f"('{text[:200]}', {split} split of {corpus}); add {corpus} to `against` of the data set's filter contamination."
            )
        before = counts["training"].get(name, {"pairs": 0, "texts": 0})
        counts["training"][name] = {"pairs": before["pairs"] + len(pairs), "texts": before["texts"] + len(texts)}
    return counts
