"""Parquet files of a schema, read whole or a batch at a time, and written a batch at a time.

A table is one file, or the files of its parts in order, so that it may be larger than memory.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import AscentError
from ..files import digest_of, sha256_file, write_atomically

# Rows of a batch. It is also the most rows of a row group, which a reader decompresses as a whole.
BATCH = 10_000

Table = str | Path | Sequence[str | Path]


def files_of(table: Table) -> list[Path]:
    """Return the files of a table."""
    return [Path(table)] if isinstance(table, str | Path) else [Path(path) for path in table]


def named(table: Table) -> str:
    """Return a table in words, for a message: its first file."""
    first, *others = files_of(table)
    return f"{first} and {len(others)} more parts" if others else str(first)


def digest_of_table(table: Table) -> str:
    """Return the SHA-256 of a table's one file, or of the digests of its several files."""
    digests = [sha256_file(path) for path in files_of(table)]
    return digests[0] if len(digests) == 1 else digest_of(digests)


@contextmanager
def writing(path: str | Path, schema: pa.Schema) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yield a function that adds a frame's rows to a new file, which is written whole or not at all. Same frames, same
    bytes."""

    def add(frame: pl.DataFrame) -> None:
        writer.write_table(frame.select(schema.names).to_arrow().cast(schema), row_group_size=BATCH)

    with write_atomically(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        yield add


def read_columns(path: str | Path, schema: pa.Schema, may_be_missing: Collection[str] = ()) -> pa.Table:
    """Read these columns of a parquet file. One that may be missing is then null.

    Raises AscentError if another column is missing, or one is of another type.
    """
    with _errors_of_reading(path):
        table = pq.read_table(path)
    return _in_form(path, table, schema, may_be_missing)


def read_batches(
    path: str | Path,
    schema: pa.Schema,
    may_be_null: Collection[str] = (),
    may_be_missing: Collection[str] = (),
    rows: int | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield a file's rows, at most `rows` at a time (default: BATCH).

    Raises AscentError as read_columns does, and for an empty cell in a column that may not be null.
    """
    with _errors_of_reading(path):
        file = pq.ParquetFile(path)
        there = [name for name in schema.names if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=rows or BATCH, columns=there):
            table = _in_form(path, pa.Table.from_batches([batch]), schema, may_be_missing)
            yield _filled(path, table, may_be_null)


def read_metadata(path: str | Path) -> pq.FileMetaData:
    """Read how many rows a file has, and of which columns. Raises AscentError if it is missing or damaged."""
    with _errors_of_reading(path):
        return pq.read_metadata(path)


class Following:
    """The rows of files of a schema in order, as many as are asked for at a time. Cells may be null."""

    def __init__(self, files: Iterable[Path], schema: pa.Schema):
        self._batches = (batch for path in files for batch in read_batches(path, schema, schema.names))
        self._rest = pl.from_arrow(schema.empty_table())

    def take(self, rows: int) -> pl.DataFrame:
        """Return the next rows, fewer at the end."""
        while len(self._rest) < rows and (batch := next(self._batches, None)) is not None:
            self._rest = pl.concat([self._rest, batch])
        taken, self._rest = self._rest[:rows], self._rest[rows:]
        return taken


@contextmanager
def _errors_of_reading(path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; run the step that makes it.") from None
    except (OSError, pa.ArrowInvalid):
        raise AscentError(f"{path}: not a complete parquet file; remove it and run the step that makes it.") from None


def _in_form(path: str | Path, table: pa.Table, schema: pa.Schema, may_be_missing: Collection[str]) -> pa.Table:
    for field in schema:
        if field.name in may_be_missing and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
        if field.name not in table.column_names:
            raise AscentError(
                f"{path}: column '{field.name}' is missing (there are: {', '.join(table.column_names)}); add it."
            )
        kind = table.schema.field(field.name).type
        if _plain(kind) != field.type:
            raise AscentError(f"{path}: column '{field.name}' is {kind}, but must be {field.type}; convert it.")
    return table.select(schema.names).cast(schema)


def _filled(path: str | Path, table: pa.Table, may_be_null: Collection[str]) -> pl.DataFrame:
    for name in table.column_names:
        column = table[name]
        inner = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        if (column.null_count or inner.null_count) and name not in may_be_null:
            raise AscentError(f"{path}: column '{name}' has empty cells (null); fill them or remove the rows.")
    return pl.from_arrow(table)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type that other writers' forms of it (large, view, half precision) stand for."""
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.float64() if pa.types.is_floating(kind) else kind
