"""What the station of synthesis writes: rows, and those that it set aside, with the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import AscentError
from ...pairs.table import SPLITS, TASKS, Document, Pair
from ...settings.readers import Synthesised
from ..cells import BadRow, usable_number, usable_text
from ..formats import rows_of
from . import Rejected, as_read, matching_files


def read(folder: Path, settings: Synthesised) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows, then those set aside."""
    for name in ("rows.jsonl", "set_aside.jsonl"):
        for path in matching_files(folder, name):
            for number, row in rows_of(path):
                try:
                    yield _row(f"{name}:{number}", row)
                except (TypeError, KeyError, BadRow) as error:
                    raise AscentError(
                        f"{path}: row {number} is not as synthesis writes it ({error}); remove the file and re-run."
                    ) from None


def _row(where: str, row: dict[str, Any] | str) -> Pair | Rejected:
    """Return what a line holds."""
    if isinstance(row, str):
        raise BadRow(row)
    if row["split"] not in SPLITS:
        raise BadRow("split is unknown")
    if "reason" in row:
        return Rejected(where, usable_text(row["reason"], "reason"), row["split"], as_read(row))
    if row["task"] not in TASKS:
        raise BadRow("task is unknown")
    for name in ("query", "positive"):
        usable_text(row[name], name)
    for name in ("origin", "query_prompt", "document_prompt"):
        if row.get(name) is not None:
            usable_text(row[name], name)
    negatives, scores = row.get("negatives", []), row.get("scores")
    if not isinstance(negatives, list):
        raise BadRow("negatives are not a list")
    if scores is not None and not isinstance(scores, list):
        raise BadRow("scores are not a list")
    if row.get("label") is not None:
        usable_number(row["label"], "label")
    for score in scores or ():
        usable_number(score, "score")
    for text in negatives:
        usable_text(text, "negative")
    return Pair(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
