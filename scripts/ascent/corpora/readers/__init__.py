"""How the rows of a corpus become pairs and documents: one module per reader, each with the function

    read(folder, settings)    yield Pair, Document and Rejected

`settings` are those of settings/readers.py. Yield a row that cannot be used as Rejected, so that it is counted. Raise
AscentError for what makes the whole corpus useless: a missing file, a missing column.
"""

import json
import math
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import AscentError, did_you_mean
from ...pairs.text import normalise_text


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is set aside: where it is (file:row) and what is wrong with it."""

    where: str
    reason: str


class BadRow(Exception):
    """Raised within a reader to set a row aside; the message is the reason."""


def usable_text(value: Any, what: str) -> str:
    """Return the value as normalised text. Raises BadRow if it is not text, or only white space."""
    if value is None:
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 were read as lone surrogates
        raise BadRow(f"{what} is not valid UTF-8") from None
    text = normalise_text(value)
    if not text:
        raise BadRow(f"no {what}")
    return text


def usable_number(value: Any, what: str) -> float:
    """Return the value as a finite number. Raises BadRow if it is not one."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        raise BadRow(f"{what} is not a number") from None
    if not math.isfinite(number):
        raise BadRow(f"{what} is not a finite number")
    return number


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match a glob pattern, in order of name. Raises AscentError if none does."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        raise AscentError(f"{folder}: no file '{pattern}'; {did_you_mean(pattern, held)}")
    return files


def open_bytes(path: Path) -> BufferedReader:
    """Open a file of a resource; gz, zst, bz2 and lz4 are decompressed, by suffix."""
    try:
        return BufferedReader(pa.input_stream(path, compression="detect"))
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; retrieve the corpus again or fix its `reader`.") from None


def read_json_rows(path: Path) -> dict[str, Any]:
    """Read a (compressed) file that is one JSON object. Raises AscentError if it is broken."""
    try:
        with open_bytes(path) as handle:
            rows = json.load(handle)
    except (OSError, ValueError) as error:
        raise AscentError(f"{path}: not a complete JSON file ({error}); retrieve the corpus again.") from None
    if not isinstance(rows, dict):
        raise AscentError(f"{path}: must hold one JSON object; check that the corpus's `reader` fits its files.")
    return rows
