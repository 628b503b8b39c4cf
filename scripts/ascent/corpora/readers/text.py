"""Documents without queries: rows of tables, or plain files. Their texts keep the lines, which extractors find headings
by."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from ...errors import AscentError
from ...pairs.table import Document
from ...settings.readers import Text, TextColumns
from ...settings.tables import FORMATS, format_of, root_of
from ..cells import cell_of, is_none, usable_text
from ..formats import rows_of
from ..formats.opening import open_text
from ..rows import Rows, rows_made
from . import Rejected, matching_files, share_of_files

# Lines between two of three hyphens, the first of a file; a longer passage is none.
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.{,20000}?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def read(folder: Path, settings: Text) -> Iterator[Document | Rejected]:
    """Yield the documents of all files, split by split."""
    for split, patterns in settings.documents.items():
        for path in (path for pattern in patterns for path in matching_files(folder, pattern)):
            rows = _rows(path, path.relative_to(folder).as_posix(), settings)
            yield from rows_made(rows, lambda cells, split=split: [_document(cells, split)], f"{split} documents")


def share(folder: Path, settings: Text, part: int, parts: int) -> Text:
    """Return the settings of one part's files."""
    return share_of_files(folder, settings, part, parts, "documents")


def _document(cells: dict[str, Any], split: str) -> Document:
    usable_text(cells["text"], "document")
    title, id = cells.get("title"), cells.get("id")
    return Document(
        cells["text"],
        split,
        "" if is_none(title) else usable_text(title, "title"),
        cells["where"] if is_none(id) else _written(str(id)),
    )


def _written(id: str) -> str:
    usable_text(id, "id")
    return id


def _rows(path: Path, name: str, settings: Text) -> Rows:
    """Yield (where, the document's cells or why there are none) of a file, with `where` among the cells."""
    found = (
        _table(path, name, settings.columns) if format_of(path) in FORMATS else _plain(path, name, settings.document)
    )
    empty = True
    for where, cells in found:
        empty = False
        yield where, cells if isinstance(cells, str) else cells | {"where": where}
    if empty:
        yield name, "the file has no documents"


def _table(path: Path, name: str, columns: TextColumns) -> Rows:
    """Yield (file:row, the document's cells or why there are none). Raise AscentError for a column that no row has."""
    named = {key: column for key, column in columns.model_dump().items() if column}
    seen: set[str] = set()
    for number, cells in rows_of(path):
        if isinstance(cells, dict):
            seen.update(cells)
            cells = {key: cell_of(cells, column) for key, column in named.items()}
        yield f"{name}:{number}", cells
    missing = [column for column in named.values() if not {column, root_of(column)} & seen]
    if seen and missing:
        there = ", ".join(sorted(seen))
        raise AscentError(
            f"{path}: column '{missing[0]}' is missing (there are: {there[:400]}); fix `columns` or the file."
        )


def _without_front_matter(text: str) -> tuple[str, str | None]:
    """Return a text without the YAML that may stand above it, as in Jekyll's pages and model cards, and the title
    there. Else its keys would be text, and the last of them a heading."""
    match = _FRONT_MATTER.match(text)
    try:
        # All values stay words: a date that no calendar has is none of ours.
        values = yaml.load(match[1], Loader=yaml.BaseLoader) if match else None
    except (yaml.YAMLError, RecursionError):
        return text, None
    if not isinstance(values, dict):
        return text, None
    title = values.get("title")
    return text[match.end() :], title if isinstance(title, str) else None


def _plain(path: Path, name: str, unit: str) -> Rows:
    """Yield (file:line, the document's cells) of a plain file: its documents are the file, its paragraphs or its
    lines."""
    with open_text(path) as file:
        if unit == "file":
            text, title = _without_front_matter(file.read())
            if text.strip():
                yield name, {"text": text, "title": title}
            return
        lines, begin = [], 0
        for number, line in enumerate(chain(file, [""]), 1):
            if lines and (unit == "line" or not line.strip()):
                yield f"{name}:{begin}", {"text": "".join(lines)}
                lines = []
            if line.strip():
                begin = begin if lines else number
                lines.append(line)
