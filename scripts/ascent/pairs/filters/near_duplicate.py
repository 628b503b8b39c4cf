"""Drop rows that are nearly one before, in an order drawn by their texts.

Signatures (signing.py) are cut into bands. Rows that share a band are candidates, found by DuckDB, which keeps on disk
what does not fit: of a row the first with the same band and the last few before it, so that what a million rows have in
common costs a few million comparisons. What comes before a row depends neither on its file nor on its part."""

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


def find(part: Path, parts: Sequence[Path], settings: NearDuplicate, context: Context) -> pl.DataFrame:
    """Drop rows whose texts have an estimated similarity to those of a row before, kept or not, of at least
    `similarity`."""
    rows, signed = ([pq.read_metadata(path).num_rows for path in paths] for paths in (parts, context.measured))
    if rows != signed:
        raise AscentError(
            f"{part}: is of {sum(rows)} rows, but there are {sum(signed)} signatures; sign the pairs again."
        )
    place, found = list(parts).index(part), [np.empty(0, np.int64)]
    own = sum(rows[:place])
    with Database(part.parent) as database:
        _find_candidates(database, context.measured, place, range(own, own + rows[place]), settings)
        for row, one, other in _candidates(database, context.measured):
            equal = (one == other).reshape(len(row), settings.permutations, -1)
            similar = equal.mean(axis=1).min(axis=1) >= settings.similarity
            found.append(np.unique(row[similar]))
    dropped = np.unique(np.concatenate(found)) - own
    return pl.DataFrame({"row": dropped}).with_columns(reason=pl.lit("nearly the same as another row"))


def _find_candidates(
    database: duckdb.DuckDBPyConnection, tables: Sequence[Path], place: int, own: range, settings: NearDuplicate
) -> None:
    """Make the table `candidates` of a row of the table at `place`, whose numbers are `own`, and another before it."""
    database.register("own", _bands(tables[place : place + 1], own.start, settings))
    database.execute("CREATE TABLE bands AS SELECT * FROM own; CREATE TABLE keys AS SELECT DISTINCT key FROM bands")
    for more, start in ((tables[:place], 0), (tables[place + 1 :], own.stop)):
        if more:
            database.register("others", _bands(more, start, settings))
            database.execute("INSERT INTO bands SELECT * FROM others SEMI JOIN keys USING (key)")
    before = ", ".join(f"lag(row, {distance}) OVER same" for distance in range(1, _BEFORE + 1))
    others = f"SELECT row, unnest([first_value(row) OVER same, {before}]) AS other FROM bands"
    database.execute(
        "CREATE TABLE candidates AS SELECT DISTINCT row, other"
        f" FROM ({others} WINDOW same AS (PARTITION BY key ORDER BY draw, row))"
        f" WHERE row BETWEEN {own.start} AND {own.stop - 1} AND other != row"
    )


def _bands(tables: Sequence[Path], start: int, settings: NearDuplicate) -> pa.RecordBatchReader:
    """Return the number of each row, its draw, and the hash of each of its bands. start: the number of the first."""
    sides = len(sides_of(settings))
    length = band_rows(settings.similarity, settings.permutations, sides) * sides

    def batches() -> Iterator[pa.RecordBatch]:
        for row, numbers, prompts, draws in signed_rows(tables):
            keys = band_keys(numbers, length) ^ (prompts * _PROMPTS)[:, None]
            each = [np.repeat(of_row, keys.shape[1]) for of_row in (row + start, draws)]
            yield pa.record_batch([*each, keys.ravel()], schema)

    schema = pa.schema({"row": pa.int64(), "draw": pa.uint64(), "key": pa.uint64()})
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
