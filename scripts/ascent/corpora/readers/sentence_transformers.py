"""Data sets in the form of sentence-transformers' trainer, saved as tables or by `datasets` to disk.

Its losses take the columns in their order, whatever they are called: (anchor, positive), (anchor, positive, negative),
(anchor, positive, negative_1, negative_2, ...), (sentence1, sentence2, score), (text, label).
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ...errors import AscentError
from ...pairs.table import Pair
from ...settings.tables import Columns, SentenceTransformers
from ..rows import pairs_of, rows_made, table_rows
from . import Rejected, share_of_files

# What the trainer takes for the label, and not for a text.
LABELS = ("label", "labels", "score", "scores")


def read(folder: Path, settings: SentenceTransformers) -> Iterator[Pair | Rejected]:
    """Yield the rows of all files, split by split. Raises AscentError if the columns make no pair."""
    for split, patterns in settings.pairs.items():
        names = settings.columns or _first_columns(folder, patterns)
        columns = columns_of(names, settings.task, f"{folder}: {split}") if names else Columns()
        make = partial(pairs_of, columns=columns, task=settings.task, split=split)
        yield from rows_made(table_rows(folder, patterns, names), make, split)


def share(folder: Path, settings: SentenceTransformers, part: int, parts: int) -> SentenceTransformers:
    """Return the settings of one part's files, and the columns that all parts have.

    Raises AscentError if the splits have different columns.
    """
    found = {tuple(settings.columns or _first_columns(folder, patterns)) for patterns in settings.pairs.values()}
    if len(found) > 1:
        raise AscentError(
            f"{folder}: its splits have different columns; name those to read in `columns`, or remove `parts`."
        )
    named = settings.model_copy(update={"columns": list(*found)})
    return share_of_files(folder, named, part, parts, "pairs")


def _first_columns(folder: Path, patterns: list[str]) -> list[str]:
    """Return the columns of the first row that has any."""
    return next((list(cells) for _, cells in table_rows(folder, patterns, []) if isinstance(cells, dict)), [])


def columns_of(names: list[str], task: str, where: str) -> Columns:
    """Return what columns are, by their order and names. Raises AscentError if they make no pair."""
    texts, labels = [name for name in names if name not in LABELS], [name for name in names if name in LABELS]
    if task == "classification":
        if len(names) != 2 or not texts:
            raise AscentError(
                f"{where}: columns {_named(names)}, but a text and its class are two; name them in `columns`."
            )
        return Columns(query=texts[0], positive=[*texts[1:], *labels][0])
    if len(texts) < 2 or len(labels) > 1:
        raise AscentError(
            f"{where}: columns {_named(names)}, but a pair has two texts, negatives, and at most one label; name them"
            " in `columns`, in this order."
        )
    return Columns(query=texts[0], positive=texts[1], negatives=texts[2:], label=labels[0] if labels else None)


def _named(names: list[str]) -> str:
    return ", ".join(names[:10])[:200] or "none"
