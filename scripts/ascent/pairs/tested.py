"""The texts of evaluated tasks, numbered, on disk: in memory are only their keys (leak_index.py)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA = pa.schema({"text": pa.large_string()})


class Table(NamedTuple):
    """Texts of one kind of a task or corpus: `test`, `documents` or `labels`."""

    name: str
    kind: str


@dataclass
class TestedTexts:
    """Batches of texts. A text's number is its place among all of them; a batch is of one table."""

    __test__ = False  # no test, whatever pytest thinks of the name

    batches: list[pa.RecordBatch] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    """The table of each batch."""

    @property
    def starts(self) -> np.ndarray:
        """The number of each batch's first text, and how many texts there are, int64."""
        return np.cumsum([0, *(len(batch) for batch in self.batches)])

    def of(self, numbers: np.ndarray) -> pl.Series:
        """Return the texts of these numbers, in their order."""
        order = np.argsort(numbers, kind="stable")
        where, parts = np.searchsorted(self.starts, numbers[order], side="right") - 1, []
        for batch in np.unique(where):
            inside = numbers[order][where == batch] - self.starts[batch]
            parts.append(pl.from_arrow(self.batches[batch].take(pa.array(inside)))["text"])
        texts = pl.concat(parts) if parts else pl.Series("text", [], pl.String)
        return texts.gather(np.argsort(order))

    @classmethod
    def of_tables(cls, tables: Iterable[tuple[Table, pl.Series]]) -> "TestedTexts":
        """Return texts that are in memory."""
        tables = [(table, texts) for table, texts in tables if len(texts)]
        batches = [pa.record_batch([texts.to_arrow().cast(pa.large_string())], schema=_SCHEMA) for _, texts in tables]
        return cls(batches, [table for table, _ in tables])

    @classmethod
    def written(cls, path: Path, tables: Iterable[tuple[Table, Iterator[pl.Series]]]) -> "TestedTexts":
        """Write the texts of tables, batch by batch, and return them mapped into memory."""
        names = []
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
            for table, batches in tables:
                for texts in batches:
                    if len(texts):
                        writer.write(pa.record_batch([texts.to_arrow().cast(pa.large_string())], schema=_SCHEMA))
                        names.append(table)
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        return cls([reader.get_batch(place) for place in range(reader.num_record_batches)], names)
