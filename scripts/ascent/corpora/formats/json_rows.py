"""JSON: one object a line, or one array of objects, whichever of .jsonl and .json the name says."""

import io
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import AscentError
from .opening import open_text


def read(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the objects of a file's lines, or of the one array that it is.

    Raises AscentError if it is an array that breaks off, or one object over several lines.
    """
    with open_text(path) as text:
        numbered = enumerate(text, 1)
        begin, first = next((each for each in numbered if each[1].strip()), (0, ""))
        if first.lstrip()[:1] in ("[", "{") and not isinstance(_parsed(first), dict):
            rest = text.read()
            values = _one_value(path, first, rest)
            if values is not None:
                yield from ((place, _row(value)) for place, value in enumerate(values, 1))
                return
            numbered = enumerate(io.StringIO(rest, newline=""), begin + 1)
        for number, line in chain([(begin, first)], numbered):
            if line.strip():
                yield number, _row(_parsed(line))


def _one_value(path: Path, line: str, rest: str) -> list | None:
    """Return the array that a file is; None if it is lines."""
    try:
        value = json.loads(line + rest)
    except ValueError as error:
        if line.lstrip().startswith("[") and _parsed(line) is None:
            raise AscentError(
                f"{path}: is one JSON array, but not a complete one ({error}); write it again, or as JSON lines, one object "
                "a line (`jq -c '.[]'`)."
            ) from None
        return None
    if isinstance(value, dict):
        raise AscentError(
            f"{path}: is one JSON object, with {', '.join(list(value)[:5])[:100]}, and not rows; write one object a line, "
            'such as {"query": "...", "positive": "..."}.'
        )
    return value


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _row(value: Any) -> dict[str, Any] | str:
    return value if isinstance(value, dict) else "not a JSON object"
