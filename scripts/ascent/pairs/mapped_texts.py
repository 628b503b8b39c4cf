"""Texts on disk, mapped into memory, by their numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA = pa.schema({"text": pa.large_string()})


def batch_of(texts: pl.Series) -> pa.RecordBatch:
    """Return texts as a batch."""
    return pa.record_batch([texts.to_arrow().cast(pa.large_string())], schema=_SCHEMA)


@dataclass
class MappedTexts:
    """Batches of texts. A text's number is its place among all of them."""

    batches: list[pa.RecordBatch] = field(default_factory=list)

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


def write_mapped(path: Path, batches: Iterable[pl.Series]) -> list[pa.RecordBatch]:
    """Write texts, batch by batch, and return those batches that have any, mapped into memory."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        for texts in batches:
            if len(texts):
                writer.write(batch_of(texts))
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(place) for place in range(reader.num_record_batches)]
