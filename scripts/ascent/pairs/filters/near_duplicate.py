"""Drop rows that are nearly an earlier one.

Signatures (signing.py) are cut into bands. Rows that share a band are candidates, found by DuckDB, which keeps on disk
what does not fit: of a row the first with the same band and the last few before it, so that what a million rows have in
common costs a few million comparisons. What comes before a row does not depend on the rows' parts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import AscentError
from ...settings.filters import NearDuplicate
from ..database import Database, numbered
from ..minhash import band_keys, band_rows
from ..parquet import BATCH
from ..signing import matrix_of, sides_of, signed_rows
from . import Context

# How many rows before a row, of those that share a band with it, it is compared with, besides the first.
_BEFORE = 8
_PROMPTS = np.uint64(0x9E3779B97F4A7C15)


def find(part: Path, earlier: Sequence[Path], settings: NearDuplicate, context: Context) -> pl.DataFrame:
    """Drop rows whose texts have an estimated similarity to those of an earlier row, kept or not, of at least
    `similarity`."""
    rows = [pq.read_metadata(path).num_rows for path in (*earlier, part)]
    signed = [pq.read_metadata(path).num_rows for path in context.measured]
    if rows != signed:
        raise AscentError(
            f"{part}: has {rows[-1]} rows behind {sum(rows[:-1])}, but there are {sum(signed)} signatures; sign the"
            " pairs again."
        )
    own, found = sum(rows[:-1]), [np.empty(0, np.int64)]
    with Database(part.parent) as database:
        _find_candidates(database, context.measured, own, settings)
        for row, one, other in _candidates(database, context.measured):
            equal = (one == other).reshape(len(row), settings.permutations, -1)
            similar = equal.mean(axis=1).min(axis=1) >= settings.similarity
            found.append(np.unique(row[similar]))
    dropped = np.unique(np.concatenate(found)) - own
    return pl.DataFrame({"row": dropped}).with_columns(reason=pl.lit("nearly the same row came before"))


def _find_candidates(
    database: duckdb.DuckDBPyConnection, tables: Sequence[Path], own: int, settings: NearDuplicate
) -> None:
    """Make the table `candidates` of a row, from the number `own` on, and another before it."""
    database.register("own", _bands(tables[-1:], own, settings))
    database.execute("CREATE TABLE bands AS SELECT * FROM own")
    if len(tables) > 1:
        database.register("earlier", _bands(tables[:-1], 0, settings))
        database.execute("INSERT INTO bands SELECT * FROM earlier SEMI JOIN (SELECT key FROM bands) USING (key)")
    before = ", ".join(f"lag(row, {distance}) OVER same" for distance in range(1, _BEFORE + 1))
    others = f"SELECT row, unnest([first_value(row) OVER same, {before}]) AS other FROM bands"
    database.execute(
        "CREATE TABLE candidates AS SELECT DISTINCT row, other"
        f" FROM ({others} WINDOW same AS (PARTITION BY key ORDER BY row)) WHERE row >= {own} AND other < row"
    )


def _bands(tables: Sequence[Path], start: int, settings: NearDuplicate) -> pa.RecordBatchReader:
    """Return the number of each row, and the hash of each of its bands. start: the number of the first."""
    sides = len(sides_of(settings))
    length = band_rows(settings.similarity, settings.permutations, sides) * sides

    def batches() -> Iterator[pa.RecordBatch]:
        for row, numbers, prompts in signed_rows(tables):
            keys = band_keys(numbers, length) ^ (prompts * _PROMPTS)[:, None]
            yield pa.record_batch([np.repeat(row + start, keys.shape[1]), keys.ravel()], names=["row", "key"])

    schema = pa.schema({"row": pa.int64(), "key": pa.uint64()})
    return pa.RecordBatchReader.from_batches(schema, batches())


def _candidates(
    database: duckdb.DuckDBPyConnection, tables: Sequence[Path]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield candidates, a batch at a time: the row's number, and both signatures."""
    found = database.sql(
        f"WITH signed AS ({numbered(tables, 'signature')})"
        " SELECT found.row, own.signature AS one, before.signature AS other"
        " FROM candidates AS found JOIN signed AS own ON own.row = found.row"
        " JOIN signed AS before ON before.row = found.other"
    )
    for batch in found.to_arrow_reader(BATCH):
        frame = pl.from_arrow(batch)
        yield frame["row"].to_numpy(), matrix_of(frame["one"]), matrix_of(frame["other"])
