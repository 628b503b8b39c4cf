"""Files of rows: jsonl, json, csv, tsv, parquet and arrow, each optionally compressed, and tars of these, by their
names.

Each format is one module with the function

    read(path)    yield (row number from 1, its cells by column, or why the row cannot be read)

and raises AscentError for what makes the whole file useless. In files of lines the number is that of the row's first
line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import AscentError
from ...settings.tables import FORMATS, format_of
from . import archive, columnar, delimited, json_rows
from .opening import open_text

READS = {
    ".jsonl": json_rows.read,
    ".json": json_rows.read,
    ".csv": delimited.read_csv,
    ".tsv": delimited.read_tsv,
    ".parquet": columnar.read_parquet,
    ".arrow": columnar.read_arrow,
    ".tar": lambda path: archive.read(path, rows_of, lambda member: format_of(member) in {*FORMATS} - {".tar"}),
}


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of a file. Raises AscentError if its format is unknown, or it cannot be read to its end."""
    if format_of(path) not in FORMATS:
        raise AscentError(f"{path}: unknown format; use one of {', '.join(FORMATS)}, optionally .gz or .zst.")
    with _read_to_its_end(path):
        yield from READS[format_of(path)](path)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of a file's lines that are not blank. Raises AscentError if it cannot be read to its
    end."""
    with _read_to_its_end(path), open_text(path) as text:
        yield from ((number, line.rstrip("\r\n")) for number, line in enumerate(text, 1) if line.strip())


@contextmanager
def _read_to_its_end(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise AscentError(f"{path}: cannot be read to its end ({str(error)[:300].rstrip('. ')}); replace it.") from None
    except MemoryError:  # where damage has changed a length, too
        raise AscentError(
            f"{path}: cannot be read to its end (it asks for more memory than there is); replace it, or split it."
        ) from None
