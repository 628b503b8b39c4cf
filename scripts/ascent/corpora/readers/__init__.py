"""How the rows of a corpus become pairs and documents: one module per reader, each with the function

    read(folder, settings)    yield Pair, Document and Rejected

`settings` are those of settings/tables.py or settings/readers.py. Yield a row that cannot be used as Rejected, so that it is
counted. Raise AscentError for what makes the whole corpus useless: a missing file, a missing column.
"""

from dataclasses import dataclass
from pathlib import Path

from ...errors import AscentError, did_you_mean


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is set aside: where it is (file:row), what is wrong with it, and which part of the corpus it is of."""

    where: str
    reason: str
    part: str
    """The split, or for a document `<split> documents`."""


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match a glob pattern, in order of name. Raises AscentError if none does."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        raise AscentError(f"{folder}: no file '{pattern}'; {did_you_mean(pattern, held)}")
    return files
