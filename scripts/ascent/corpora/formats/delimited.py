"""csv and tsv, with a header. csv is quoted by RFC 4180; tsv is not quoted, as in MS MARCO: a quotation mark is
text."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

from ...errors import AscentError
from .opening import open_text

Rows = Iterator[tuple[int, dict[str, str] | str]]


def read_csv(path: Path) -> Rows:
    """Yield the rows of a csv file. Raises AscentError where a quotation mark opens a cell that none closes."""
    return _read(path, strict=True)


def read_tsv(path: Path) -> Rows:
    """Yield the rows of a tsv file."""
    return _read(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read(path: Path, **dialect) -> Rows:
    lines = _lines(path, dialect)
    _, header = next(lines, (0, []))
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise AscentError(
            f"{path}: its first line, the header, names the column '{twice[0][:60]}' twice; rename one, or add a"
            " header."
        )
    beside = False
    for (number, cells), below in pairwise(chain(lines, [(0, [])])):
        # A line break in a text makes two rows of one, and a line of one cell may belong to the row above or below.
        if len(cells) != len(header):
            yield number, f"{'more' if len(cells) > len(header) else 'fewer'} cells than the header has"
        elif beside or len(below[1]) == 1 < len(header):
            yield number, "beside a line of one cell, which may be part of it"
        else:
            yield number, dict(zip(header, cells, strict=True))
        beside = len(cells) == 1 < len(header)


def _lines(path: Path, dialect: dict) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number of its first line."""
    csv.field_size_limit(sys.maxsize)
    first = 1
    with open_text(path) as text:
        rows = csv.reader(text, **dialect)
        try:
            for cells in rows:
                if cells:
                    yield first, cells
                first = rows.line_num + 1
        except csv.Error as error:
            raise AscentError(
                f"{path}: line {first}: a quotation mark opens a cell here, and none closes it as csv should ({error});"
                ' write each quotation mark within a cell twice (""), or close the cell.'
            ) from None
