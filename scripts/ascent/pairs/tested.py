"""The texts of evaluated tasks, numbered, on disk: in memory are only their keys (leak_index.py)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from .mapped_texts import MappedTexts, batch_of, write_mapped


class Table(NamedTuple):
    """Texts of one kind of a task or corpus: `test`, `documents` or `labels`."""

    name: str
    kind: str


@dataclass
class TestedTexts(MappedTexts):
    """Texts of evaluated tasks; a batch is of one table."""

    __test__ = False  # no test, whatever pytest thinks of the name

    tables: list[Table] = field(default_factory=list)
    """The table of each batch."""

    @classmethod
    def of_tables(cls, tables: Iterable[tuple[Table, pl.Series]]) -> "TestedTexts":
        """Return texts that are in memory."""
        tables = [(table, texts) for table, texts in tables if len(texts)]
        return cls([batch_of(texts) for _, texts in tables], [table for table, _ in tables])

    @classmethod
    def written(cls, path: Path, tables: Iterable[tuple[Table, Iterator[pl.Series]]]) -> "TestedTexts":
        """Write the texts of tables, batch by batch, and return them mapped into memory."""
        names: list[Table] = []

        def batches() -> Iterator[pl.Series]:
            for table, texts_of_table in tables:
                for texts in texts_of_table:
                    names.extend([table] * bool(len(texts)))
                    yield texts

        return cls(write_mapped(path, batches()), names)
