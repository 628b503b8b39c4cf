"""The rows of a data set with the negatives that a stage trains them with, a batch at a time, as often as they are
asked for."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..pairs.parquet import Following, Table, files_of, named, read_batches
from ..pairs.table import OPTIONAL, SCHEMA, all_batches
from .mined import in_order_of

_MINED = pa.schema({"negatives": pa.list_(pa.string()), "reserve": pa.list_(pa.string())})


class TrainingRows:
    """Rows with their own negatives, or with those that were mined for them, which have no stored scores.

    folder: for a file that this makes. Raises AscentError if the negatives were mined for other pairs.
    """

    def __init__(self, pairs: Table, negatives: Path | None, folder: Path):
        self._pairs = pairs
        self._mined = in_order_of(pairs, negatives, folder) if negatives else None
        names = pl.read_parquet_schema(self._mined).names() if self._mined else []
        self._columns = pa.schema([field for field in _MINED if field.name in names])

    @property
    def name(self) -> str:
        """The pairs' name, for a message."""
        return named(self._pairs)

    @property
    def has_reserve(self) -> bool:
        """Whether mining kept a reserve, which is then the column `reserve`."""
        return "reserve" in self._columns.names

    def checked(self) -> Iterator[pl.DataFrame]:
        """Yield the rows with all their columns. Raises AscentError as read_pairs does."""
        rows = 0
        for batch in self._joined(all_batches(self._pairs), mined=True):
            rows += len(batch)
            yield batch
        if not rows:
            raise AscentError(f"{self.name}: has no rows; check the step that made it, by the audit-*.json beside it.")

    def batches(self, *columns: str) -> Iterator[pl.DataFrame]:
        """Yield some columns of the rows, which `checked` has yielded before."""
        schema = pa.schema([field for field in SCHEMA if field.name in columns])
        files = files_of(self._pairs)
        parts = (batch for path in files for batch in read_batches(path, schema, schema.names, OPTIONAL))
        return self._joined(parts, mined=bool({"negatives", "reserve"} & {*columns}))

    def _joined(self, batches: Iterator[pl.DataFrame], *, mined: bool) -> Iterator[pl.DataFrame]:
        others = Following([self._mined], self._columns) if self._mined and mined else None
        for batch in batches:
            if self._mined and "scores" in batch.columns:
                batch = batch.with_columns(scores=pl.lit(None, batch.schema["scores"]))
            yield batch.with_columns(others.take(len(batch)).get_columns()) if others else batch
