"""Parquet, read in batches; a compressed one is decompressed into memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .opening import open_bytes


def read(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of a file."""
    source = path if path.suffix == ".parquet" else pa.BufferReader(open_bytes(path).read())
    first = 1
    for batch in pq.ParquetFile(source).iter_batches():
        try:
            yield from enumerate(batch.to_pylist(), first)
        except UnicodeDecodeError:  # somewhere in the batch: find the rows
            for row in range(batch.num_rows):
                try:
                    yield first + row, batch.slice(row, 1).to_pylist()[0]
                except UnicodeDecodeError:
                    yield first + row, "not valid UTF-8"
        first += batch.num_rows
