"""DuckDB over tables' files: queries over more rows than fit into memory, since it keeps on disk what does not fit."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

# What DuckDB may hold in memory; the process needs some hundred MB besides.
MEMORY = "1500MB"


class Database:
    """A database that lives as long as its `with`, and spills into a folder that is then removed."""

    def __init__(self, folder: Path):
        self._spill = TemporaryDirectory(dir=folder, prefix=".duckdb-")

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        options = {"memory_limit": MEMORY, "threads": threads, "temp_directory": self._spill.name}
        self._connection = duckdb.connect(config=options | {"preserve_insertion_order": False})
        return self._connection

    def __exit__(self, *error) -> None:
        self._connection.close()
        self._spill.cleanup()


def listed(files: Sequence[Path]) -> str:
    """Return files as a list in SQL, for `read_parquet`."""
    return "[" + ", ".join("'" + str(file).replace("'", "''") + "'" for file in files) + "]"
