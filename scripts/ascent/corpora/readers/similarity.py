"""Pairs of texts with a human score: the classic similarity sets. All rows are sts rows of the split test.

There are two forms: a tab-separated list (text, text, score; lines that begin with # are comments), as in SimLex-999
and WordSim-353; or, if `texts` is given, a square matrix of scores between the lines of that file, as in Lee, Pincombe
and Welsh (2005). Only the part above the diagonal is read."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import AscentError
from ...pairs.table import Pair
from ...settings.readers import Similarity
from ..cells import BadRow, usable_number, usable_text
from ..formats.opening import open_bytes
from . import Rejected, as_read


def read(folder: Path, settings: Similarity) -> Iterator[Pair | Rejected]:
    """Yield each scored pair of texts once."""
    for where, first, second, score in _matrix(folder, settings) if settings.texts else _list(folder, settings):
        try:
            texts = usable_text(first, "first text"), usable_text(second, "second text")
            yield Pair(*texts, label=usable_number(score, "score"), task="sts", split="test")
        except BadRow as reason:
            yield Rejected(where, str(reason), "test", as_read([first, second, score]))


def _list(folder: Path, settings: Similarity) -> Iterator[tuple]:
    for number, line in enumerate(_lines(folder / settings.scores, settings.encoding), 1):
        if line and not line.startswith("#"):
            # A fourth cell makes the score no number.
            yield f"{settings.scores}:{number}", *(line.split("\t", 2) + [None] * 3)[:3]


def _matrix(folder: Path, settings: Similarity) -> Iterator[tuple]:
    texts = [line for line in _lines(folder / settings.texts, settings.encoding) if line.strip()]
    rows = [line.split() for line in _lines(folder / settings.scores, settings.encoding) if line.strip()]
    sizes = {len(texts), len(rows), *map(len, rows)}
    if len(sizes) > 1:
        raise AscentError(
            f"{folder / settings.scores}: has {len(rows)} rows of {sorted(set(map(len, rows)))} scores "
            f"for the {len(texts)} texts of {settings.texts}; give a square matrix."
        )
    for i, scores in enumerate(rows):
        for j in range(i + 1, len(scores)):
            yield f"{settings.scores}:{i + 1}", texts[i], texts[j], scores[j]


def _lines(path: Path, encoding: str) -> list[str]:
    with open_bytes(path) as handle:
        content = handle.read()
    try:
        return content.decode(encoding, "surrogateescape").split("\n")
    except LookupError:
        raise AscentError(f"{path}: unknown encoding '{encoding}'; set `encoding` to one that Python knows.") from None
