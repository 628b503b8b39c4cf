"""Rows of tables: read by column, and made into pairs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from ..errors import AscentError
from ..pairs.table import Document, Pair
from ..settings.tables import Columns, root_of
from .cells import BadRow, cell_of, fields_of, is_none, usable_id, usable_number, usable_text
from .formats import lines_of, rows_of
from .readers import Rejected, as_read, matching_files

# A place (file:row), and cells by column, or why there are none.
Rows = Iterator[tuple[str, dict[str, Any] | str]]
# Columns and their characters that an error names.
_NAMED = 20
_CHARACTERS = 40


def table_rows(folder: Path, patterns: list[str], wanted: list[str], fix: str = "fix `columns`") -> Rows:
    """Yield (file:row, cells by column or why there are none) of all files.

    Raises AscentError for a wanted column that no row of a file has; `fix` is what its user can do.
    """
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
            raise AscentError(f"{path}: column '{missing[0]}' is missing ({_named(first)}); {_remedy(path, fix)}.")


def bare_rows(
    folder: Path, patterns: list[str], *names: Sequence[str], tabs: bool = False, header: bool = False
) -> Rows:
    """Yield (file:line, cells by these names or why there are none) of all files, which have no header.

    names: those of lines with as many cells. tabs: whether tabs separate the cells, which then may hold spaces.
    header: whether each file has one nevertheless, which is left out.
    """
    known = {len(each): each for each in names}
    wanted = " or ".join(f"{len(each)} ({', '.join(each)})" for each in names)
    for path in (path for pattern in patterns for path in matching_files(folder, pattern)):
        empty = True
        for number, line in islice(lines_of(path), int(header), None):
            empty = False
            cells = line.split("\t") if tabs else line.split()
            named = dict(zip(known.get(len(cells), ()), cells, strict=False))
            yield f"{path.name}:{number}", named or f"{len(cells)} cells, not {wanted}"
        if empty:
            yield path.name, "the file has no rows"


def rows_made(
    rows: Rows, make: Callable[[dict], Iterable[Pair | Document]], part: str
) -> Iterator[Pair | Document | Rejected]:
    """Yield what is made of each row, and Rejected for a row that has no cells, or of which BadRow is raised."""
    for where, cells in rows:
        try:
            if isinstance(cells, str):
                raise BadRow(cells)
            yield from make(cells)
        except BadRow as reason:
            yield Rejected(where, str(reason), part, as_read(cells))


def pairs_of(cells: dict, columns: Columns, task: str, split: str) -> list[Pair]:
    """Return the pairs of a row, one per positive. Raises BadRow if a cell cannot be used."""
    query = usable_text(one_of(texts_of(cells, columns.query)), "query")
    positives = [
        (_positive(value, task), score)
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
    label = _label(cell_of(cells, columns.label), columns.labels) if columns.label else None
    texts, scores = (tuple(part[place] for part in negatives) for place in range(2))
    prompts = [
        own_prompt(cell_of(cells, column) if column else None)
        for column in (columns.query_prompt, columns.document_prompt)
    ]
    origin = cell_of(cells, columns.origin) if columns.origin else None
    origin = None if is_none(origin) else usable_id(origin, "origin")
    return [
        Pair(
            query,
            positive,
            texts,
            label,
            task,
            split,
            (score, *scores) if columns.positive_scores else None,
            *prompts,
            origin,
        )
        for positive, score in positives
    ]


def _label(value: Any, numbers: dict[str, float]) -> float:
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    try:
        return usable_number(value, "label")
    except BadRow:
        if not numbers or is_none(value):
            raise
        raise BadRow("label is neither a number nor among `labels`") from None


def own_prompt(value: Any) -> str | None:
    """Return a row's own prompt as it is written, since a space at its end counts; None for an empty cell."""
    if is_none(value):
        return None
    usable_text(value, "prompt")
    return value


def _scored(cells: dict, texts: str, scores: str | None, what: str) -> list[tuple[Any, float | None]]:
    """Return each text of a cell with its score: None without a column of scores, or without a text."""
    values = _as_list(texts_of(cells, texts))
    if scores is None:
        return [(value, None) for value in values]
    numbers = _as_list(cell_of(cells, scores))
    if len(numbers) != len(values):
        raise BadRow(f"not one score per {what}")
    return [
        (value, None if is_none(value) else usable_number(number, f"{what}'s score"))
        for value, number in zip(values, numbers, strict=True)
    ]


def _positive(value: Any, task: str) -> str:
    if task == "classification" and isinstance(value, int):  # class numbers are as common as class names
        value = str(value)
    return usable_text(value, "positive")


def texts_of(cells: dict, column: str) -> Any:
    """Return a cell of texts. Raises BadRow if it holds objects, as other trainers' formats do; the reason names their
    fields."""
    value = cell_of(cells, column)
    if isinstance(value, (dict, list)) and (fields := fields_of({column: value})) != [column]:
        raise BadRow(f"column '{column}' holds objects; name their texts in `columns`: {' or '.join(fields[:5])}")
    return value


def one_of(value: Any) -> Any:
    """Return the text of a list of one, None of an empty list."""
    return next(iter(value), None) if isinstance(value, list) and len(value) < 2 else value


def _as_list(cell: Any) -> list:
    if cell is None:
        return []
    return cell if isinstance(cell, list) else [cell]


def _named(row: dict) -> str:
    """Return the columns of a row in words, shortened: without a header they are whole texts."""
    names = [name if len(name) <= _CHARACTERS else f"{name[: _CHARACTERS - 1]}…" for name in fields_of(row)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"there are: {', '.join(names[:_NAMED])}{more}"


def _remedy(path: Path, fix: str) -> str:
    if {".csv", ".tsv"} & set(path.suffixes):
        return f"its first line must be a header with the columns' names: add one, or {fix}"
    return f"{fix} or the file"
