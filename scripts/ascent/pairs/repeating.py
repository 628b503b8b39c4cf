"""Rows of rare classes, documents, queries, prompts or origins, repeated so that they are not rare in training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from ..settings.pairs import Repeat
from .augmenting import EXAMPLES
from .earlier import COUNTED, rare_rows


def repeating(
    part: Path, parts: Sequence[Path], settings: Repeat
) -> Callable[[pl.DataFrame, int], tuple[pl.DataFrame, dict]]:
    """Return a function from a batch of a part's rows, and the number of its first, to the rows with the repeated ones
    behind each, and an entry of the audit as an augmentation has it. parts: all files in order, with `part`."""
    rows, times = rare_rows(part, parts, settings.by, settings.rows, settings.seed)
    times = np.minimum(times, settings.most)

    def repeat(pairs: pl.DataFrame, start: int) -> tuple[pl.DataFrame, dict]:
        first, end = np.searchsorted(rows, (start, start + len(pairs)))
        counts = np.ones(len(pairs), dtype=np.int64)
        counts[rows[first:end] - start] = times[first:end]
        repeated = pairs[np.repeat(np.arange(len(pairs)), counts)]
        examples = pairs.filter(counts > 1).head(EXAMPLES).select(pl.col("query", "positive").str.head(200)).to_dicts()
        counted = {"in": len(pairs), "added": len(repeated) - len(pairs), "replaced": 0, "examples": examples}
        return repeated, {"augmentation": "repeat"} | counted

    return repeat


def repeated_share(pairs: pl.DataFrame, settings: Repeat, times: float = 1.0) -> float:
    """Return how many rows would be added to all of these, as a share of them, if each stands for so many."""
    value = COUNTED[settings.by]
    with duckdb.connect() as database:
        database.register("pairs", pairs.select("query_id", "positive_id", "query_prompt", "origin").to_arrow())
        sizes = f"SELECT count(*) * {times} AS size FROM pairs WHERE {value} IS NOT NULL GROUP BY {value}"
        added = f"greatest(least({settings.rows}, size * {settings.most}) - size, 0)"
        return float(database.execute(f"SELECT sum({added}) FROM ({sizes})").fetchone()[0] or 0) / times / len(pairs)
