"""Rows that are compared with others of the data set, out of memory: DuckDB keeps on disk what does not fit.

The order of a data set's rows is that of its parts, and within a part that of its file. Each part is judged by a job of
its own, and into how many parts the rows are divided changes nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import numpy as np

from .database import Database, listed, numbered
from .draws import rank_in_sql


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


def undrawn_rows(part: Path, parts: Sequence[Path], column: str, most: int, seed: int) -> np.ndarray:
    """Return the numbers, from 0, of the rows of a file that are not among the `most` which are drawn of those of all
    files with the same value in a column: int64, ascending.

    parts: all files, in order, with `part`. The draw is that of draws.digest for a row's ids, the smallest first; of
    rows with the same texts, the first come first. Null is a value.
    """
    return _drawn(part, parts, column, seed, "row", f"rank > {most}")["row"]


def rare_rows(part: Path, parts: Sequence[Path], column: str, least: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, from 0, of the rows of a file of whose value in a column all files have less than `least`
    rows: int64, ascending; and how often each must occur so that there are `least`, one time more or less by the draw
    of undrawn_rows: int64."""
    times = f"{least} // size + (rank <= {least} % size)::BIGINT AS times"
    found = _drawn(part, parts, column, seed, f"row, {times}", f"size < {least}")
    return found["row"], found["times"]


def _drawn(
    part: Path, parts: Sequence[Path], column: str, seed: int, columns: str, where: str
) -> dict[str, np.ndarray]:
    """Return columns of a file's rows, int64: `row`; `rank` by the draw, from 1, among the rows of all files with the
    same value in `column`, and `size`, how many there are."""
    tables = " UNION ALL ".join(
        numbered([path], f"{place} AS place, {column} AS value, query_id, positive_id")
        for place, path in enumerate(parts)
    )
    drawn = rank_in_sql(seed, "query_id", "positive_id")
    own = f"SELECT DISTINCT {column} AS value FROM read_parquet({listed([part])})"
    ranked = (
        f"SELECT place, row, row_number() OVER (PARTITION BY value ORDER BY {drawn}, place, row) AS rank,"
        f" count(*) OVER (PARTITION BY value) AS size FROM ({tables}) AS every"
        f" SEMI JOIN ({own}) AS own ON every.value IS NOT DISTINCT FROM own.value"
    )
    query = f"SELECT {columns} FROM ({ranked}) WHERE place = {list(parts).index(part)} AND {where} ORDER BY row"
    with Database(part.parent) as database:
        found = database.execute(query).fetchnumpy()
    return {name: np.asarray(values, dtype=np.int64) for name, values in found.items()}
