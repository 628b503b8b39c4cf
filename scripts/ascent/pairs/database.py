"""DuckDB over tables' files: queries over more rows than fit into memory, since it keeps on disk what does not fit."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ..files import scratch_in

# What DuckDB may hold in memory; the process needs some hundred MB besides.
MEMORY = "1500MB"


class Database:
    """A database that lives as long as its `with`, and spills into a folder that is then removed."""

    def __init__(self, folder: Path):
        self._folder, self._open = folder, ExitStack()

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        spill = self._open.enter_context(scratch_in(self._folder))
        options = {"memory_limit": MEMORY, "threads": threads, "temp_directory": str(spill)}
        connection = duckdb.connect(config=options | {"preserve_insertion_order": False})
        return self._open.enter_context(connection)

    def __exit__(self, *error) -> None:
        self._open.close()


def quoted(file: Path) -> str:
    """Return a file's path as a string in SQL."""
    return "'" + str(file).replace("'", "''") + "'"


def listed(files: Sequence[Path]) -> str:
    """Return files as a list in SQL, for `read_parquet`."""
    return f"[{', '.join(map(quoted, files))}]"


def numbered(files: Sequence[Path], columns: str) -> str:
    """Return a query of columns of tables' rows, with each one's number in `row`: from 0, over all files in order."""
    starts = accumulate((pq.read_metadata(file).num_rows for file in files), initial=0)
    return " UNION ALL ".join(
        f"SELECT file_row_number + {start} AS row, {columns} FROM read_parquet({quoted(file)}, file_row_number = true)"
        for start, file in zip(starts, files, strict=False)
    )
