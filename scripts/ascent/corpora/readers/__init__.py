"""How the rows of a corpus become pairs and documents: one module per reader, each with the function

    read(folder, settings)    yield Pair, Document and Rejected

and, if the corpus may be read in parts, with the function

    share(folder, settings, part, parts)    return the settings of one part; all parts in order read what `settings` do

`settings` are those of settings/tables.py or settings/readers.py. Yield a row that cannot be used as Rejected, so that
it is counted. Raise AscentError for what makes the whole corpus useless: a missing file, a missing column."""

import glob
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from ...errors import AscentError, did_you_mean
from ...settings.tables import Reader

R = TypeVar("R", bound=Reader)
# Characters of a row set aside that are kept.
_READ = 2000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is set aside: where it is (file:row), what is wrong with it, and which part of the corpus it is of."""

    where: str
    reason: str
    part: str
    """The split, or for a document `<split> documents`."""
    row: str = ""
    """What was read of it, as `as_read` writes it."""


def as_read(cells: Any) -> str:
    """Return a row's cells as JSON, shortened, to be read by people; nothing, if why there are none is all that is
    known."""
    if isinstance(cells, str):
        return ""
    try:
        written = json.dumps(cells, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # such as keys that are lists, or a number of 5,000 digits
        written = ascii(cells)[:_READ]
    return written if len(written) <= _READ else f"{written[: _READ - 1]}…"


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match a glob pattern, in order of name. Raises AscentError if none does."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        raise AscentError(f"{folder}: no file '{pattern}'; {did_you_mean(pattern, held)}")
    return files


def share_of_files(folder: Path, settings: R, part: int, parts: int, *names: str) -> R:
    """Return the settings with one part's files. names: the fields that have them, in order, each a map from splits to
    patterns.

    Raises AscentError if there are fewer files than parts.
    """
    files = [
        (name, split, path)
        for name in names
        for split, patterns in getattr(settings, name).items()
        for pattern in patterns
        for path in matching_files(folder, pattern)
    ]
    shares: dict[str, dict] = {name: {} for name in names}
    for name, split, path in files[shared_files([path for *_, path in files], part, parts)]:
        shares[name].setdefault(split, []).append(glob.escape(path.relative_to(folder).as_posix()))
    return settings.model_copy(update=shares)


def shared_files(files: Sequence[Path], part: int, parts: int) -> slice:
    """Return which files a part has, of files in order: parts are runs of files of about as many bytes, one file or
    more.

    Raises AscentError if there are fewer files than parts.
    """
    if len(files) < parts:
        raise AscentError(
            f"{files[0].parent}: has {len(files)} files, but `parts` is {parts}; lower it, or split the files."
        )
    ends = list(accumulate(file.stat().st_size for file in files))
    bounds = [0]
    for number in range(1, parts):
        nearest = bisect_left(ends, ends[-1] * number / parts) + 1
        bounds.append(min(max(nearest, bounds[-1] + 1), len(files) - parts + number))
    return slice(bounds[part], [*bounds[1:], len(files)][part])
