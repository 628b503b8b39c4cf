"""Pairs of texts with a human score: the classic similarity sets. All rows are sts rows of the split test.

Two forms: a tab-separated list (text, text, score; lines that begin with # are comments), as SimLex-999 and
WordSim-353 have; or, when `texts` is given, a square matrix of scores between the lines of a file, as Lee,
Pincombe and Welsh (2005) have, of which the part above the diagonal is read.
"""

from collections.abc import Iterator
from pathlib import Path

from ...errors import AscentError
from ...pairs.table import Pair
from ...settings.base import Settings
from . import BadRow, Rejected, open_bytes, usable_number, usable_text


class Options(Settings):
    """Options of the reader `similarity`."""

    scores: str
    """File of the scores: a list of pairs, or a matrix when `texts` is given."""
    texts: str | None = None
    """File with one text a line, in the order of the matrix."""
    encoding: str = "utf-8"
    """Encoding of the files."""


def read(folder: Path, options: Options) -> Iterator[Pair | Rejected]:
    """Yield each scored pair of texts once."""
    for where, first, second, score in _matrix(folder, options) if options.texts else _list(folder, options):
        try:
            texts = usable_text(first, "first text"), usable_text(second, "second text")
            yield Pair(*texts, label=usable_number(score, "score"), task="sts", split="test")
        except BadRow as reason:
            yield Rejected(where, str(reason))


def _list(folder: Path, options: Options) -> Iterator[tuple]:
    for number, line in enumerate(_lines(folder / options.scores, options.encoding), 1):
        if line and not line.startswith("#"):
            yield f"{options.scores}:{number}", *(line.split("\t") + [None] * 3)[:3]


def _matrix(folder: Path, options: Options) -> Iterator[tuple]:
    texts = [line for line in _lines(folder / options.texts, options.encoding) if line.strip()]
    rows = [line.split() for line in _lines(folder / options.scores, options.encoding) if line.strip()]
    sizes = {len(texts), len(rows), *map(len, rows)}
    if len(sizes) > 1:
        raise AscentError(
            f"{folder / options.scores}: has {len(rows)} rows of {sorted(set(map(len, rows)))} scores "
            f"for the {len(texts)} texts of {options.texts}; give a square matrix."
        )
    for i, scores in enumerate(rows):
        for j in range(i + 1, len(scores)):
            yield f"{options.scores}:{i + 1}", texts[i], texts[j], scores[j]


def _lines(path: Path, encoding: str) -> list[str]:
    with open_bytes(path) as handle:
        content = handle.read()
    try:
        return content.decode(encoding, "surrogateescape").split("\n")
    except LookupError:
        raise AscentError(f"{path}: unknown encoding '{encoding}'; mend `encoding`.") from None
