"""The rows of a data set as a stage trains on them, a batch at a time, as often as they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..pairs.parquet import Following, Table, files_of, named, read_batches
from ..pairs.prompts import COLUMNS, with_prompts
from ..pairs.table import OPTIONAL, SCHEMA, all_batches
from ..settings.model import Tokenising
from ..settings.prompts import Side
from .mined import in_order_of

# Where a row has texts, and whose prompt they have.
PLACES: dict[str, Side] = {"queries": "query", "documents": "document", "reserve": "document"}
_MINED = pa.schema({"negatives": pa.list_(pa.string()), "reserve": pa.list_(pa.string())})


class Rows:
    """Rows with the negatives that were mined for them, if any, and with what stands before their texts.

    folder: for files that this makes. Raises AscentError if the negatives were mined for other pairs.
    """

    def __init__(self, pairs: Table, negatives: Path | None, settings: Tokenising, folder: Path):
        self._pairs, self._settings, self._mined = pairs, settings, None
        self.places = [name for name in PLACES if name != "reserve"]
        if negatives:
            self._mined = in_order_of(pairs, negatives, folder)
            names = pl.read_parquet_schema(self._mined).names()
            self._columns = pa.schema([field for field in _MINED if field.name in names])
            self.places = [name for name in PLACES if name != "reserve" or name in names]

    @property
    def name(self) -> str:
        """The pairs' name, for a message."""
        return named(self._pairs)

    def checked(self) -> Iterator[pl.DataFrame]:
        """Yield the rows with all their columns. Raises AscentError as read_pairs does."""
        rows = 0
        for batch in self._joined(all_batches(self._pairs), mined=True):
            rows += len(batch)
            yield batch
        if not rows:
            raise AscentError(f"{self.name}: has no rows; check the step that made it.")

    def batches(self, *columns: str) -> Iterator[pl.DataFrame]:
        """Yield some columns of the rows, which `checked` has yielded before, and their prompts."""
        names = {*columns, "task", *COLUMNS.values()}
        schema = pa.schema([field for field in SCHEMA if field.name in names])
        files = files_of(self._pairs)
        parts = (batch for path in files for batch in read_batches(path, schema, schema.names, OPTIONAL))
        return self._joined(parts, mined=bool({"negatives", "reserve"} & names))

    def texts(self, place: str) -> Iterator[pl.DataFrame]:
        """Yield the texts at a place of the rows, with their prompts: the columns text and prompt."""
        columns = {"queries": ["query"], "documents": ["positive", "negatives"], "reserve": ["reserve"]}[place]
        return (texts_at(batch, place) for batch in self.batches(*columns))

    def _joined(self, batches: Iterator[pl.DataFrame], *, mined: bool) -> Iterator[pl.DataFrame]:
        draw = np.random.default_rng(self._settings.seed)
        others = Following([self._mined], self._columns) if self._mined and mined else None
        for batch in batches:
            if self._mined and "scores" in batch.columns:  # mined ones have none
                batch = batch.with_columns(scores=pl.lit(None, batch.schema["scores"]))
            if others:
                batch = batch.with_columns(others.take(len(batch)).get_columns())
            yield with_prompts(batch, self._settings, draw)


def listed_at(place: str) -> pl.Expr:
    """Return the texts of each row at a place as a list."""
    return {
        "queries": pl.concat_list("query"),
        "documents": pl.concat_list("positive", "negatives"),
        "reserve": pl.col("reserve"),
    }[place]


def texts_at(batch: pl.DataFrame, place: str) -> pl.DataFrame:
    """Return the texts at a place of some rows, row after row, with their prompts."""
    listed = batch.select(text=listed_at(place), prompt=COLUMNS[PLACES[place]])
    return listed.explode("text").drop_nulls("text")
