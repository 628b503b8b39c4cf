"""What the station of synthesis writes: rows, and those that it set aside, with the reason."""

import json
from collections.abc import Iterator
from pathlib import Path

from ...pairs.table import Document, Pair
from ...settings.readers import Synthesised
from . import Rejected, matching_files


def read(folder: Path, settings: Synthesised) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows, then those set aside."""
    for name in ("rows.jsonl", "set_aside.jsonl"):
        for path in matching_files(folder, name):
            with path.open(encoding="utf-8") as lines:
                for number, row in enumerate(map(json.loads, lines), start=1):
                    if "reason" in row:
                        yield Rejected(f"{name}:{number}", row["reason"], row["split"])
                    else:
                        yield Pair(
                            **{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
                        )
