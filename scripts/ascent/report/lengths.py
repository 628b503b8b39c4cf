"""How long texts are and in which languages: what is counted of all of them, and what of drawn ones."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..errors import AscentError
from ..pairs.filters.language import language_told
from ..pairs.tokenizer import count_tokens, load_tokenizer
from ..pairs.words import words

# The negatives of a drawn row, and the characters of a text, that are read; the rest counts in proportion.
NEGATIVES, CHARACTERS = 4, 20_000
SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
# Lengths at which bars of a histogram begin: steps of the square root of two.
EDGES = sorted({math.ceil(2 ** (step / 2)) for step in range(80)})
# With fewer letters the language of a text cannot be told.
_LETTERS = 20
# A text, or its beginning, and how many characters it has in whole.
Cut = tuple[str, int]


@dataclass(frozen=True)
class Unit:
    """What texts are measured in besides characters: its name, and a function that counts it in texts."""

    name: str
    count: Callable[[list[str]], list[int]]


def unit_of(model: Path | None) -> Unit:
    """Return the tokens of a model's folder, or words where it has no tokenizer.json (see pairs/words.py)."""
    try:
        tokenizer = load_tokenizer(model, "statistics")
    except AscentError:
        return Unit("words", lambda texts: words(pl.Series(texts, dtype=pl.String)).list.len().to_list())
    return Unit(f"tokens of {model.name}", lambda texts: count_tokens(tokenizer, texts))


def quantiles(counts: Iterable[tuple[float, int]]) -> dict[str, float]:
    """Return the quantiles SHARES of values, given how often each occurs: the least value that this share of them does
    not exceed (the inverse of the distribution function), by share as text."""
    counts = sorted(counts)
    total, found, so_far, wanted = sum(count for _, count in counts), {}, 0, list(SHARES)
    for value, count in counts:
        so_far += count
        while wanted and so_far >= max(1, math.ceil(wanted[0] * total - 1e-9)):
            found[str(wanted.pop(0))] = value
    return found


def histogram(counts: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return [lower end, how many] of lengths between two of EDGES, from the least length to the greatest."""
    bins: Counter[int] = Counter()
    for length, count in counts:
        bins[max(bisect_right(EDGES, length) - 1, 0)] += count
    return [[EDGES[place], bins[place]] for place in range(min(bins), max(bins) + 1)] if bins else []


def side_of(unit: Unit, lengths: list[tuple[int, int]], drawn: list[Cut], is_whole: bool) -> dict:
    """Return how many texts there are, and their lengths in characters and in units.

    lengths: of each number of characters, how many texts have it. drawn: the texts whose units are counted. is_whole:
    whether they are of all rows, so that the total may be exact."""
    texts, characters = sum(n for _, n in lengths), sum(length * n for length, n in lengths)
    counts = unit.count([text for text, _ in drawn])
    # What was cut off counts as much as what was not.
    scaled = [count * length / max(len(text), 1) for count, (text, length) in zip(counts, drawn, strict=True)]
    is_exact = is_whole and len(drawn) == texts and all(len(text) == length for text, length in drawn)
    seen = sum(length for _, length in drawn)
    total = sum(counts) if is_exact else round(sum(scaled) / max(seen, 1) * characters)
    return {
        "texts": texts,
        "characters": {"total": characters, "quantiles": quantiles(lengths), "histogram": histogram(lengths)},
        "units": {
            "total": total,
            "is_exact": is_exact,
            "quantiles": quantiles(Counter(round(value) for value in scaled).items()),
        },
    }


def columns_of(sides: Iterable[str], has_negatives: bool) -> str:
    """Return the columns that Drawn needs, in SQL."""
    columns = [f"left({side}, {CHARACTERS}) AS {side}, length({side}) AS {side}_characters" for side in sides]
    return ", ".join([*columns, f"negatives[1:{NEGATIVES}] AS negatives"] if has_negatives else columns)


@dataclass(frozen=True)
class Drawn:
    """Rows drawn from a group, with the columns of columns_of; whether they are all of its rows."""

    rows: pl.DataFrame
    is_whole: bool

    def texts(self, side: str) -> list[Cut]:
        """Return the texts of a side, each with the characters that it has uncut."""
        if side != "negative":
            return list(self.rows.select(side, f"{side}_characters").iter_rows())
        if "negatives" not in self.rows.columns:
            return []
        return [(text[:CHARACTERS], len(text)) for texts in self.rows["negatives"] for text in texts]


def languages_of(texts: list[Cut]) -> dict[str, int]:
    """Return how many texts are in each language, and under '' how many are too short to tell."""
    return dict(Counter(language_told(pl.Series([text for text, _ in texts], dtype=pl.String), _LETTERS)))
