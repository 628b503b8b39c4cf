"""The filters between a corpus and a data set: one module per filter, with one of the functions

    judge(pairs, settings, context)         return `pairs` with a column `reason`: why a row is dropped, or null
    find(part, others, settings, context)   return the dropped rows of the file `part`: `row`, from 0, and `reason`

`settings` are those of settings/filters.py. `judge` sees each row alone: `pairs` is any batch of them. A filter that
judges by scores or ranks finds them in the column `score` or `rank`. One that changes texts keeps their ids true. A
filter that compares a row with others of the data set has `find`: `others` are the files of the parts before `part` if
it needs earlier rows, and of all parts in order, with `part`, if it needs all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ...settings.filters import Filter


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a filter may need besides the pairs and its settings."""

    positive: str
    """The data set's `positive`: given or query."""
    against: pl.DataFrame
    """Rows of corpora and tasks to compare with, none of them for training: those that filters which need rows name in
    `against`, and others."""
    models: dict[str, Path] = field(default_factory=dict)
    """The folders of the models whose tokenizers filters need, by name."""
    measured: Sequence[Path] = ()
    """What the pass's filters judge by, if that is measured: tables of the rows."""
    _made: dict[int, Any] = field(default_factory=dict)

    def once(self, settings: Filter, make: Callable[[], Any]) -> Any:
        """Return what a filter makes for all batches, made at its first."""
        if id(settings) not in self._made:
            self._made[id(settings)] = make()
        return self._made[id(settings)]
