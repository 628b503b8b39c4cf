"""Parquet, and Arrow's own files, as which `datasets` saves to disk, read in batches. A compressed parquet file is
decompressed into memory."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .opening import open_bytes

Rows = Iterator[tuple[int, dict[str, Any] | str]]
# How a file begins that has its schema and the places of its batches at its end; others are streams.
_RANDOM_ACCESS = b"ARROW1"
# What cells raise that are damaged, or that Python has no value for, such as a date behind the year 9999.
_UNREADABLE = (ValueError, OverflowError, pa.ArrowException)


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
            rows = _checked(batch)
        except _UNREADABLE:  # somewhere in the batch: find the rows
            rows = map(_row, (batch.slice(row, 1) for row in range(batch.num_rows)))
        yield from enumerate(rows, first)
        first += batch.num_rows


def _checked(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch. Arrow itself believes the offsets in a file, and reads wherever they point."""
    batch.validate(full=True)
    return batch.to_pylist()


def _row(batch: pa.RecordBatch) -> dict[str, Any] | str:
    try:
        return _checked(batch)[0]
    except _UNREADABLE as error:
        return "not valid UTF-8" if re.search("UTF-?8", str(error), re.IGNORECASE) else "damaged cells"
