"""Files of rows: jsonl, json, csv, tsv and parquet, each optionally compressed, by their names.

Each format is one module with the function

    read(path)    yield (row number from 1, its cells by column, or why the row cannot be read)

and raises AscentError for what makes the whole file useless. In files of lines the number is that of the row's first line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import AscentError
from ...settings.tables import COMPRESSED, FORMATS
from . import delimited, json_rows, parquet

READS = dict(zip(FORMATS, (json_rows.read, json_rows.read, delimited.read_csv, delimited.read_tsv, parquet.read), strict=True))


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of a file. Raises AscentError if its format is unknown, or it cannot be read to its end."""
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSED.values()]
    if not suffixes or suffixes[-1] not in READS:
        raise AscentError(f"{path}: unknown format; use one of {', '.join(FORMATS)}, optionally .gz or .zst.")
    try:
        yield from READS[suffixes[-1]](path)
    except (OSError, pa.ArrowInvalid) as error:
        raise AscentError(f"{path}: cannot be read to its end ({error}); replace it.") from None
