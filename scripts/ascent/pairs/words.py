"""What a word is: a run of letters and digits, or one character of a script that writes words without spaces between
them.

Chinese and Japanese are written so: each of their characters is a word here. (So are Thai, Lao, Khmer and Burmese, but
one letter of theirs is too little: a run is a word here.)"""

from collections.abc import Iterator

import polars as pl

# Ideographs and kana, those of half width and of the planes beyond too, without the signs between them.
_APART = (
    "\u3005-\u3007\u3040-\u3098\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
CHARACTER = f"[{_APART}]"
WORD = rf"{CHARACTER}|[^\W{_APART}]+(?:['’][^\W{_APART}]+)*"
"""Regular expressions of polars, of such a character and of any word. An apostrophe stays in its word."""

SLICE = 500
"""Texts whose words are held at a time: they take many times the memory of the texts."""


def words(texts: pl.Series) -> pl.Series:
    """Return the words of each text, a list of strings, in lower case."""
    return texts.str.to_lowercase().str.extract_all(WORD)


def parts(texts: pl.Series) -> Iterator[list[str]]:
    """Yield what each text is made of: gaps and words in turn, a gap first and last. Gaps are spaces and punctuation,
    and may be empty. A text without words is one gap."""
    for begin in range(0, len(texts), SLICE):
        some = texts[begin : begin + SLICE]
        words, units = (some.str.extract_all(pattern).to_list() for pattern in (WORD, rf"(?:{WORD})[^\w{_APART}]*"))
        for text, of_text, with_gaps in zip(some, words, units, strict=True):
            gaps = [unit[len(word) :] for word, unit in zip(of_text, with_gaps, strict=True)]
            first = text[: len(text) - sum(map(len, with_gaps))]
            yield [first, *(part for pair in zip(of_text, gaps, strict=True) for part in pair)]
