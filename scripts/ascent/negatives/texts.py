"""The texts of chosen documents, found by their ids in the tables that have them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..pairs.mapped_texts import MappedTexts, write_mapped
from ..pairs.parquet import Table, files_of, named, read_batches
from ..pairs.table import DOCUMENT_SCHEMA, SCHEMA
from .arrays import keys_of


class ChosenTexts:
    """Texts by place, in a file; in memory are some numbers for each.

    places: those that are looked up, ascending; ids: of the texts there. Raises AscentError if a table lacks one."""

    def __init__(self, places: np.ndarray, ids: np.ndarray, pairs: Table, documents: Sequence[Path], file: Path):
        keys = keys_of(ids)
        order = np.argsort(keys)
        self._places, self._numbers = places, np.full(len(places), -1)
        self._texts = MappedTexts(write_mapped(file, self._found(keys[order], order, pairs, documents)))
        if missing := int((self._numbers < 0).sum()):
            raise AscentError(
                f"{named(pairs)}: {missing} texts of the shards are no longer in the tables that were embedded; re-run"
                " the step that embeds them."
            )

    def _found(
        self, keys: np.ndarray, order: np.ndarray, pairs: Table, documents: Sequence[Path]
    ) -> Iterator[pl.Series]:
        count = 0
        for texts in _texts(pairs, documents):
            own = keys_of(texts["id"].to_list())
            found = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
            rows = np.flatnonzero((keys[found] == own) & (self._numbers[order[found]] < 0))
            wanted, first = np.unique(order[found[rows]], return_index=True)
            self._numbers[wanted] = count + np.arange(len(wanted))
            count += len(wanted)
            yield texts["text"][rows[first]]

    def of(self, places: np.ndarray) -> pl.Series:
        """Return the texts at these places, in their order."""
        return self._texts.of(self._numbers[np.searchsorted(self._places, places)])


def _texts(pairs: Table, documents: Sequence[Path]) -> Iterator[pl.DataFrame]:
    """Yield id and text of all documents, a batch at a time: of pairs, then of corpora."""
    for files, schema, columns in (
        (files_of(pairs), SCHEMA, ("positive_id", "positive")),
        (documents, DOCUMENT_SCHEMA, ("document_id", "text")),
    ):
        for file in files:
            for batch in read_batches(file, pa.schema([schema.field(column) for column in columns])):
                yield batch.rename(dict(zip(columns, ("id", "text"), strict=True)))
