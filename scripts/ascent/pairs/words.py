"""What a word is: a run of letters and digits, or one character of a script that writes words without spaces between them.

Chinese and Japanese are written so: each of their characters is a word here. (So are Thai, Lao, Khmer and Burmese, but one letter
of theirs is too little: a run is a word here.)
"""

import polars as pl

# Ideographs and kana, those of half width and of the planes beyond too, without the signs between them.
_APART = (
    "\u3005-\u3007\u3040-\u3098\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
WORD = rf"[{_APART}]|[^\W{_APART}]+(?:['’][^\W{_APART}]+)*"
"""A regular expression of polars. An apostrophe stays in its word."""


def words(texts: pl.Series) -> pl.Series:
    """Return the words of each text, a list of strings, in lower case."""
    return texts.str.to_lowercase().str.extract_all(WORD)


def units(texts: pl.Series) -> pl.Series:
    """Return the words of each text, each with the spaces and punctuation behind it, a list of strings. Joined they are the text
    without what stands before its first word."""
    return texts.str.extract_all(rf"(?:{WORD})[^\w{_APART}]*")
