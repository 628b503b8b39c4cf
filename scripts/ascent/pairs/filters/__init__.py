"""The filters between a corpus and a data set: one module per filter, each with the function

    judge(pairs, settings, context)    return `pairs` with a column `reason`: why a row is dropped, or null

`settings` are those of settings/filters.py. A filter that needs scores finds them in the column `score`. One that
changes texts keeps their ids true.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a filter may need besides the pairs and its settings."""

    positive: str
    """The data set's `positive`: given or query."""
    against: pl.DataFrame
    """Rows of corpora and tasks to compare with: those that filters which need rows name in `against`, and others."""
    made: dict[str, Any] = field(default_factory=dict)
    """What a filter makes of these rows once, for all batches of pairs, by a key of its own."""
