"""Rows that are compared with all rows before them, out of memory: DuckDB keeps on disk what does not fit.

The order of a data set's rows is that of its parts, and within a part that of its file. What is said of a row depends
on the rows before it only, so each part is judged by a job of its own, and into how many parts the rows are divided
changes nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import numpy as np

from .database import Database, listed


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
    own = f"SELECT file_row_number AS row, {keys} FROM read_parquet({listed([part])}, file_row_number = true)"
    with Database(part.parent) as database:
        found = database.sql(f"WITH own AS ({own}) SELECT row FROM ({repeats}) ORDER BY row").fetchnumpy()
    return np.asarray(found["row"], dtype=np.int64)


def count_rows(files: Sequence[Path], **values: str) -> int:
    """Return how many rows of these files have these values in the columns of these names."""
    if not files:
        return 0
    where = " AND ".join(f"{column} = ?" for column in values)
    with duckdb.connect() as database:
        query = f"SELECT count(*) FROM read_parquet({listed(files)}) WHERE {where}"
        return database.execute(query, list(values.values())).fetchone()[0]
