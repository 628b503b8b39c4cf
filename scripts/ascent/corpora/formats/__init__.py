"""Files of rows: jsonl, json, csv, tsv and parquet, each optionally compressed, by their names.

Each format is one module with the function

    read(path)    yield (row number from 1, its cells by column, or why the row cannot be read)

and raises AscentError for what makes the whole file useless. In files of lines the number is that of the row's first line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import AscentError
from ...settings.tables import COMPRESSED, FORMATS
from . import delimited, json_rows, parquet
from .opening import open_text

READS = dict(zip(FORMATS, (json_rows.read, json_rows.read, delimited.read_csv, delimited.read_tsv, parquet.read), strict=True))


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of a file. Raises AscentError if its format is unknown, or it cannot be read to its end."""
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSED.values()]
    if not suffixes or suffixes[-1] not in READS:
        raise AscentError(f"{path}: unknown format; use one of {', '.join(FORMATS)}, optionally .gz or .zst.")
    with _read_to_its_end(path):
        yield from READS[suffixes[-1]](path)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of a file's lines that are not blank. Raises AscentError if it cannot be read to its end."""
    with _read_to_its_end(path), open_text(path) as text:
        yield from ((number, line.rstrip("\r\n")) for number, line in enumerate(text, 1) if line.strip())


@contextmanager
def _read_to_its_end(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise AscentError(f"{path}: cannot be read to its end ({error}); replace it.") from None
