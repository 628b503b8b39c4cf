"""Rows that are compared with others of the data set, out of memory: DuckDB keeps on disk what does not fit.

The order of a data set's rows is that of its parts, and within a part that of its file. Each part is judged by a job of
its own, and into how many parts the rows are divided changes nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import numpy as np

from ..errors import AscentError
from .database import Database, listed, numbered
from .draws import rank_in_sql

# What rows are counted by, in SQL; null for a row that is not counted. All rows without a prompt count together.
COUNTED = {
    "positive": "positive_id",
    "query": "query_id",
    "query_prompt": "coalesce(query_prompt, '')",
    "origin": "origin",
    # Of RFC 3986: behind the scheme, without user and port.
    "host": r"nullif(lower(regexp_extract(origin, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1)), '')",
}


def repeated_rows(part: Path, earlier: Sequence[Path], columns: Iterable[str]) -> np.ndarray:
    """Return the numbers, from 0, of the rows of a file that are equal in these columns to a row before: int64,
    ascending.

    earlier: files whose rows are all before. Null equals null.
    """
    keys = ", ".join(columns)
    repeats = f"SELECT row FROM (SELECT row, min(row) OVER (PARTITION BY {keys}) AS first FROM own) WHERE row > first"
    if earlier:
        equal = " AND ".join(f"own.{column} IS NOT DISTINCT FROM before.{column}" for column in columns)
        repeats += f" UNION SELECT row FROM own SEMI JOIN read_parquet({listed(earlier)}) AS before ON {equal}"
    with Database(part.parent) as database:
        found = database.sql(
            f"WITH own AS ({numbered([part], keys)}) SELECT row FROM ({repeats}) ORDER BY row"
        ).fetchnumpy()
    return np.asarray(found["row"], dtype=np.int64)


def count_rows(files: Sequence[Path], **values: str) -> int:
    """Return how many rows of these files have these values in the columns of these names."""
    if not files:
        return 0
    where = " AND ".join(f"{column} = ?" for column in values)
    with duckdb.connect() as database:
        query = f"SELECT count(*) FROM read_parquet({listed(files)}) WHERE {where}"
        return database.execute(query, list(values.values())).fetchone()[0]


def undrawn_rows(part: Path, parts: Sequence[Path], by: str, most: int, seed: int) -> np.ndarray:
    """Return the numbers, from 0, of the rows of a file that are not among the `most` which are drawn of those of all
    files that count together: int64, ascending.

    parts: all files, in order, with `part`. by: a key of COUNTED. The draw is that of draws.digest for a row's ids, the
    smallest first; of rows with the same texts, the first come first. Raises AscentError if no row is counted.
    """
    return _drawn(part, parts, by, seed, "row", f"rank > {most}")["row"]


def rare_rows(part: Path, parts: Sequence[Path], by: str, least: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, from 0, of the rows of a file of which, with those of all files that count together, there
    are less than `least`: int64, ascending; and how often each must occur so that there are `least`, one time more or
    less by the draw of undrawn_rows: int64. Raises AscentError as that does."""
    times = f"{least} // size + (rank <= {least} % size)::BIGINT AS times"
    found = _drawn(part, parts, by, seed, f"row, {times}", f"size < {least}")
    return found["row"], found["times"]


def _drawn(part: Path, parts: Sequence[Path], by: str, seed: int, columns: str, where: str) -> dict[str, np.ndarray]:
    """Return columns of a file's counted rows, int64: `row`; `rank` by the draw, from 1, among the rows of all files
    that count together, and `size`, how many there are."""
    value = COUNTED[by]
    tables = " UNION ALL ".join(
        numbered([path], f"{place} AS place, {value} AS value, query_id, positive_id")
        for place, path in enumerate(parts)
    )
    drawn = rank_in_sql(seed, "query_id", "positive_id")
    own = f"SELECT DISTINCT {value} AS value FROM read_parquet({listed([part])})"
    ranked = (
        f"SELECT place, row, row_number() OVER (PARTITION BY value ORDER BY {drawn}, place, row) AS rank,"
        f" count(*) OVER (PARTITION BY value) AS size FROM ({tables}) AS every"
        f" SEMI JOIN ({own}) AS own ON every.value = own.value"
    )
    query = f"SELECT {columns} FROM ({ranked}) WHERE place = {list(parts).index(part)} AND {where} ORDER BY row"
    with Database(part.parent) as database:
        all_parts = f"read_parquet({listed(parts)})"
        rows, counted = database.execute(f"SELECT count(*), count({value}) FROM {all_parts}").fetchone()
        if rows and not counted:
            raise AscentError(
                f"{part}: no row of the data set has {'an origin' if by == 'origin' else f'a {by} in its origin'} to be"
                " counted by; have the corpus's reader read one, such as `columns: {origin: url}`, or count by another"
                " column."
            )
        found = database.execute(query).fetchnumpy()
    return {name: np.asarray(values, dtype=np.int64) for name, values in found.items()}
