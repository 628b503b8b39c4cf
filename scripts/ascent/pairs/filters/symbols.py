"""Drop rows with a text that is not what people write: few letters, many symbols, broken characters, another script."""

import polars as pl
from ftfy.badness import is_bad

from ...settings.filters import Symbols
from . import Context

_LETTERS = r"[\p{L}\p{M}]"
_DIGITS = r"\p{N}"
_SYMBOLS = r"[\p{S}\p{P}]"
# Control characters, the sign that replaces what could not be decoded, private and unassigned ones; not line breaks and
# tabs.
_BROKEN = r"[\p{Cc}\p{Co}\p{Cn}\x{FFFD}--[\t\n\r]]"
# UTF-8 that was read as Windows-1252 and the like has characters of Latin, Greek or Cyrillic beyond ASCII; plain ASCII
# has none.
_MAY_BE_MISREAD = r"[\x{80}-\x{4FF}]"
# What remains of replaced characters that were read as GBK, and of memory that was never written.
_MISREAD_AS_GBK = "锟斤拷|烫烫烫|屯屯屯"


def judge(pairs: pl.DataFrame, settings: Symbols, context: Context) -> pl.DataFrame:
    """Drop rows with a text that was read in the wrong encoding, or in which a share is out of bounds."""
    return pairs.with_columns(
        reason=pl.coalesce(*_reasons(pairs["query"], settings), *_reasons(pairs["positive"], settings))
    )


def _reasons(text: pl.Series, settings: Symbols) -> list[pl.Expr]:
    letters, characters = text.str.count_matches(_LETTERS), text.str.len_chars()
    wrong = {
        "was read in the wrong encoding": _misread(text) & (not settings.mojibake),
        "has broken characters": text.str.count_matches(_BROKEN) > settings.broken * characters,
        "has few letters": letters < settings.letters * text.str.count_matches(r"\S"),
        "has many digits": text.str.count_matches(_DIGITS) > settings.digits * characters,
        "has many symbols": text.str.count_matches(_SYMBOLS) > settings.symbols * characters,
        "has many spaces": text.str.count_matches(r"\s") > settings.white_space * characters,
    }
    if settings.scripts:
        own = text.str.count_matches("[" + "".join(rf"\p{{{script}}}" for script in settings.scripts) + "]")
        wrong[f"is not in {' or '.join(settings.scripts)}"] = own < settings.script_share * letters
    return [pl.when(rows).then(pl.lit(f"{text.name} {what}")) for what, rows in wrong.items()]


def _misread(text: pl.Series) -> pl.Series:
    foreign = text.str.contains(_MAY_BE_MISREAD)
    misread = foreign.scatter(foreign.arg_true(), [is_bad(each) for each in text.filter(foreign)])
    return misread | text.str.contains(_MISREAD_AS_GBK)
