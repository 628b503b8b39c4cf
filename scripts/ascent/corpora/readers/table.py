"""Tables: rows of jsonl, json, csv, tsv and parquet, each optionally compressed (gz, zst), with columns by name."""

import glob
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.readers import Table, root_of
from ..cells import BadRow, cell_of, fields_of, is_none, usable_number, usable_text
from ..formats import rows_of
from . import Rejected, matching_files, shared_files

# Columns and their characters that an error names.
_NAMED = 20
_CHARACTERS = 40


def read(folder: Path, settings: Table) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of all files, split by split."""
    columns = settings.columns
    named = [columns.query, columns.positive, *columns.negatives, *columns.negative_scores]
    optional = (columns.label, columns.positive_scores, columns.query_prompt, columns.document_prompt)
    named += [name for name in optional if name]
    sets = [(_pairs, named, *item, "") for item in settings.pairs.items()]
    sets += [(_document, [settings.document_column], *item, " documents") for item in settings.documents.items()]
    for make, wanted, split, patterns, kind in sets:
        for where, cells in _rows(folder, patterns, wanted):
            try:
                if isinstance(cells, str):
                    raise BadRow(cells)
                yield from make(cells, split, settings)
            except BadRow as reason:
                yield Rejected(where, str(reason), split + kind)


def share(folder: Path, settings: Table, part: int, parts: int) -> Table:
    """Return the settings of one part's files, in the order in which `read` reads them."""
    sets = [(kind, split) for kind in ("pairs", "documents") for split in getattr(settings, kind)]
    files = [
        (kind, split, path)
        for kind, split in sets
        for pattern in getattr(settings, kind)[split]
        for path in matching_files(folder, pattern)
    ]
    shares: dict[str, dict] = {"pairs": {}, "documents": {}}
    for kind, split, path in files[shared_files([path for *_, path in files], part, parts)]:
        shares[kind].setdefault(split, []).append(glob.escape(path.relative_to(folder).as_posix()))
    return settings.model_copy(update=shares)


def _pairs(cells: dict, split: str, settings: Table) -> list[Pair]:
    columns = settings.columns
    query = usable_text(_one(_texts(cells, columns.query)), "query")
    positives = [
        (_positive(value, settings.task), score)
        for value, score in _scored(cells, columns.positive, columns.positive_scores, "positive")
    ]
    if not positives:
        raise BadRow("no positive")
    negatives = [
        (usable_text(value, "negative"), score)
        for names in zip_longest(columns.negatives, columns.negative_scores)
        for value, score in _scored(cells, *names, "negative")
        if not is_none(value)
    ]
    label = usable_number(cell_of(cells, columns.label), "label") if columns.label else None
    texts, scores = (tuple(part[place] for part in negatives) for place in range(2))
    prompts = [_prompt(cells, column) for column in (columns.query_prompt, columns.document_prompt)]
    return [
        Pair(query, positive, texts, label, settings.task, split, (score, *scores) if columns.positive_scores else None, *prompts)
        for positive, score in positives
    ]


def _prompt(cells: dict, column: str | None) -> str | None:
    """Return a row's own prompt as it is written, since a space at its end counts; None for an empty cell."""
    value = cell_of(cells, column) if column else None
    if is_none(value):
        return None
    usable_text(value, "prompt")
    return value


def _scored(cells: dict, texts: str, scores: str | None, what: str) -> list[tuple[Any, float | None]]:
    """Return each text of a cell with its score: None without a column of scores, or without a text."""
    values = _as_list(_texts(cells, texts))
    if scores is None:
        return [(value, None) for value in values]
    numbers = _as_list(cell_of(cells, scores))
    if len(numbers) != len(values):
        raise BadRow(f"not one score per {what}")
    return [
        (value, None if is_none(value) else usable_number(number, f"{what}'s score"))
        for value, number in zip(values, numbers, strict=True)
    ]


def _document(cells: dict, split: str, settings: Table) -> list[Document]:
    return [Document(usable_text(_one(_texts(cells, settings.document_column)), "document"), split)]


def _positive(value: Any, task: str) -> str:
    if task == "classification" and isinstance(value, int):  # class numbers are as common as class names
        value = str(value)
    return usable_text(value, "positive")


def _texts(cells: dict, column: str) -> Any:
    """Return a cell of texts. Raises BadRow if it holds objects, as other trainers' formats do; the reason names their fields."""
    value = cell_of(cells, column)
    if isinstance(value, (dict, list)) and (fields := fields_of({column: value})) != [column]:
        raise BadRow(f"column '{column}' holds objects; name their texts in `columns`: {' or '.join(fields[:5])}")
    return value


def _one(value: Any) -> Any:
    """Return the text of a list of one, None of an empty list."""
    return next(iter(value), None) if isinstance(value, list) and len(value) < 2 else value


def _as_list(cell: Any) -> list:
    if cell is None:
        return []
    return cell if isinstance(cell, list) else [cell]


def _rows(folder: Path, patterns: list[str], wanted: list[str]) -> Iterator[tuple[str, dict | str]]:
    """Yield (file:row, cells by column or why there are none). Raise AscentError for a column that no row has."""
    for path in (path for pattern in patterns for path in matching_files(folder, pattern)):
        seen: set[str] = set()
        first, empty = {}, True
        for number, cells in rows_of(path):
            empty = False
            if isinstance(cells, dict):
                seen.update(cells)
                first = first or cells
            yield f"{path.name}:{number}", cells
        if empty:
            yield path.name, "the file has no rows"
        missing = [name for name in wanted if not {name, root_of(name)} & seen]
        if seen and missing:
            raise AscentError(f"{path}: column '{missing[0]}' is missing ({_named(first)}); {_remedy(path)}.")


def _named(row: dict) -> str:
    """Return the columns of a row in words, shortened: without a header they are whole texts."""
    names = [name if len(name) <= _CHARACTERS else f"{name[: _CHARACTERS - 1]}…" for name in fields_of(row)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"there are: {', '.join(names[:_NAMED])}{more}"


def _remedy(path: Path) -> str:
    if {".csv", ".tsv"} & set(path.suffixes):
        return "its first line must be a header with the columns' names: add one, or fix `columns`"
    return "fix `columns` or the file"
