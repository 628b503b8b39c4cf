"""Parquet, and Arrow's own files, as which `datasets` saves to disk, read in batches. A compressed parquet file is
decompressed into memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .opening import open_bytes

Rows = Iterator[tuple[int, dict[str, Any] | str]]
# How a file begins that has its schema and the places of its batches at its end; others are streams.
_RANDOM_ACCESS = b"ARROW1"


def read_parquet(path: Path) -> Rows:
    """Yield the rows of a parquet file."""
    source = path if path.suffix == ".parquet" else pa.BufferReader(open_bytes(path).read())
    return _rows(pq.ParquetFile(source).iter_batches())


def read_arrow(path: Path) -> Rows:
    """Yield the rows of an Arrow stream, as `datasets` writes it, or of an Arrow file."""
    with open_bytes(path) as file:
        if not file.peek(len(_RANDOM_ACCESS)).startswith(_RANDOM_ACCESS):
            with pa.ipc.open_stream(file) as batches:
                yield from _rows(batches)
            return
        with pa.ipc.open_file(path if path.suffix == ".arrow" else pa.BufferReader(file.read())) as batches:
            yield from _rows(map(batches.get_batch, range(batches.num_record_batches)))


def _rows(batches: Iterable[pa.RecordBatch]) -> Rows:
    first = 1
    for batch in batches:
        try:
            yield from enumerate(batch.to_pylist(), first)
        except UnicodeDecodeError:  # somewhere in the batch: find the rows
            for row in range(batch.num_rows):
                try:
                    yield first + row, batch.slice(row, 1).to_pylist()[0]
                except UnicodeDecodeError:
                    yield first + row, "not valid UTF-8"
        first += batch.num_rows
