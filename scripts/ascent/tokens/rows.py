"""The rows of a data set as a stage trains on them, a batch at a time, as often as they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ..negatives.rows import TrainingRows
from ..pairs.parquet import Table
from ..pairs.prompts import COLUMNS, with_prompts
from ..settings.model import Tokenising
from ..settings.prompts import Side

# Where a row has texts, and whose prompt they have.
PLACES: dict[str, Side] = {"queries": "query", "documents": "document", "reserve": "document"}


class Rows:
    """Rows with the negatives that they are trained with, and with what stands before their texts.

    folder: for a file that this makes. Raises AscentError if the negatives were mined for other pairs.
    """

    def __init__(self, pairs: Table, negatives: Path | None, settings: Tokenising, folder: Path):
        self._rows, self._settings = TrainingRows(pairs, negatives, folder), settings
        self.name = self._rows.name
        self.places = [name for name in PLACES if name != "reserve" or self._rows.has_reserve]

    def checked(self) -> Iterator[pl.DataFrame]:
        """Yield the rows with all their columns. Raises AscentError as read_pairs does."""
        return self._prompted(self._rows.checked())

    def batches(self, *columns: str) -> Iterator[pl.DataFrame]:
        """Yield some columns of the rows, which `checked` has yielded before, and their prompts."""
        return self._prompted(self._rows.batches(*columns, "task", *COLUMNS.values()))

    def texts(self, place: str) -> Iterator[pl.DataFrame]:
        """Yield the texts at a place of the rows, with their prompts: the columns text and prompt."""
        columns = {"queries": ["query"], "documents": ["positive", "negatives"], "reserve": ["reserve"]}[place]
        return (texts_at(batch, place) for batch in self.batches(*columns))

    def _prompted(self, batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        draw = np.random.default_rng(self._settings.seed)
        return (with_prompts(batch, self._settings, draw) for batch in batches)


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
