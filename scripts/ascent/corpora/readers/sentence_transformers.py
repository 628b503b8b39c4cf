"""Data sets in the form of sentence-transformers' trainer, saved as tables or by `datasets` to disk.

Its losses take the columns in their order, whatever they are called: (anchor, positive), (anchor, positive, negative),
(anchor, positive, negative_1, negative_2, ...), (sentence1, sentence2, score), (text, label).
"""

from collections.abc import Iterator
from pathlib import Path

from ...errors import AscentError
from ...pairs.table import Pair
from ...settings.tables import Columns, SentenceTransformers
from ..rows import Rows, pairs_of, rows_made, table_rows
from . import Rejected

# What the trainer takes for the label, and not for a text.
LABELS = ("label", "labels", "score", "scores")


def read(folder: Path, settings: SentenceTransformers) -> Iterator[Pair | Rejected]:
    """Yield the rows of all files, split by split. Raises AscentError if the columns make no pair."""
    for split, patterns in settings.pairs.items():
        rows = table_rows(folder, patterns, settings.columns)
        columns, rows = _columns(folder, rows, settings)
        yield from rows_made(
            rows, lambda cells, columns=columns, split=split: pairs_of(cells, columns, settings.task, split), split
        )


def _columns(folder: Path, rows: Rows, settings: SentenceTransformers) -> tuple[Columns | None, Rows]:
    """Return what the columns of a split are, by its first row that has any, and all its rows."""
    read = []
    for where, cells in rows:
        read.append((where, cells))
        if isinstance(cells, dict):
            return columns_of(settings.columns or list(cells), settings.task, f"{folder}: {where}"), _chained(read, rows)
    return None, iter(read)


def columns_of(names: list[str], task: str, where: str) -> Columns:
    """Return what columns are, by their order and names. Raises AscentError if they make no pair."""
    texts, labels = [name for name in names if name not in LABELS], [name for name in names if name in LABELS]
    if task == "classification":
        if len(names) != 2 or not texts:
            raise AscentError(f"{where}: columns {_named(names)}, but a text and its class are two; name them in `columns`.")
        return Columns(query=texts[0], positive=[*texts[1:], *labels][0])
    if len(texts) < 2 or len(labels) > 1:
        raise AscentError(
            f"{where}: columns {_named(names)}, but a pair has two texts, negatives, and at most one label; name them in "
            "`columns`, in this order."
        )
    return Columns(query=texts[0], positive=texts[1], negatives=texts[2:], label=labels[0] if labels else None)


def _named(names: list[str]) -> str:
    return ", ".join(names[:10])[:200] or "none"


def _chained(read: list, rows: Rows) -> Rows:
    yield from read
    yield from rows
