"""The documents that a retrieval task searches in, out of memory: each text once, in a file that is mapped."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..pairs.database import Database, listed
from ..pairs.parquet import BATCH, Table, files_of, named
from ..pairs.table import document_batches

if TYPE_CHECKING:  # the planner reads this file, too
    from datasets import Dataset

_SCHEMA = pa.schema({"id": pa.string(), "text": pa.string()})


def write_pool(folder: Path, own: Table, pools: Mapping[str, Table], split: str) -> "Dataset":
    """Write the documents of a split of a task's own table, and of other corpora's by name, into a folder; return their
    `id` and `text` in the order of the ids, mapped into memory.

    Raises AscentError for a damaged table, and a corpus without documents in the split.
    """
    from datasets import Dataset

    files = files_of(own)
    _count(own, split)
    for corpus, table in pools.items():
        if not _count(table, split):
            raise AscentError(
                f"{named(table)}: the corpus {corpus} has no documents in the split '{split}' to search in; remove it"
                f" from the task's documents, or read documents into this split, too."
            )
        files += files_of(table)
    path = folder / "documents.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as writer:
        for batch in _distinct(folder, files, split):
            writer.write_table(batch.to_arrow().cast(_SCHEMA))
    return Dataset.from_file(str(path))


def _count(table: Table, split: str) -> int:
    """Return how many documents a table has in a split; all its rows are checked."""
    return sum((batch["split"] == split).sum() for path in files_of(table) for batch in document_batches(path))


def _distinct(folder: Path, files: list[Path], split: str) -> Iterator[pl.DataFrame]:
    last = None
    with Database(folder) as database:
        rows = database.sql(
            f"SELECT document_id AS id, text FROM read_parquet({listed(files)}) WHERE split = ? ORDER BY id, text",
            params=[split],
        )
        for batch in rows.to_arrow_reader(BATCH):
            frame = pl.from_arrow(batch)
            before = frame["id"].shift(1, fill_value=last)
            yield frame.filter(frame["id"].ne_missing(before))
            last = frame["id"][-1]
