"""Tables: jsonl, csv, tsv and parquet, each optionally compressed (gz, zst).

csv and tsv have a header. csv is quoted by RFC 4180; tsv is not quoted, as in MS MARCO: a quotation mark is text.
"""

import csv
import io
import json
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.readers import Table
from . import BadRow, Rejected, matching_files, open_bytes, usable_number, usable_text


def read(folder: Path, settings: Table) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of all files, split by split."""
    columns = settings.columns
    named = [columns.query, columns.positive, *columns.negatives, *columns.negative_scores]
    named += [name for name in (columns.label, columns.positive_scores) if name]
    sets = [(_pairs, named, *item) for item in settings.pairs.items()]
    sets += [(_document, [settings.document_column], *item) for item in settings.documents.items()]
    for make, wanted, split, patterns in sets:
        for where, cells in _rows(folder, patterns, wanted):
            try:
                if isinstance(cells, str):
                    raise BadRow(cells)
                yield from make(cells, split, settings)
            except BadRow as reason:
                yield Rejected(where, str(reason))


def _pairs(cells: dict, split: str, settings: Table) -> list[Pair]:
    columns = settings.columns
    query = usable_text(cells.get(columns.query), "query")
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
        if value
    ]
    label = usable_number(cells.get(columns.label), "label") if columns.label else None
    texts, scores = (tuple(part[place] for part in negatives) for place in range(2))
    return [
        Pair(query, positive, texts, label, settings.task, split, (score, *scores) if columns.positive_scores else None)
        for positive, score in positives
    ]


def _scored(cells: dict, texts: str, scores: str | None, what: str) -> list[tuple[Any, float | None]]:
    """Return each text of a cell with its score: None without a column of scores, or without a text."""
    values = _as_list(cells.get(texts))
    if scores is None:
        return [(value, None) for value in values]
    numbers = _as_list(cells.get(scores))
    if len(numbers) != len(values):
        raise BadRow(f"not one score per {what}")
    return [
        (value, None if value in (None, "") else usable_number(number, f"{what}'s score"))
        for value, number in zip(values, numbers, strict=True)
    ]


def _document(cells: dict, split: str, settings: Table) -> list[Document]:
    return [Document(usable_text(cells.get(settings.document_column), "document"), split)]


def _positive(value: Any, task: str) -> str:
    if task == "classification" and isinstance(value, int):  # class numbers are as common as class names
        value = str(value)
    return usable_text(value, "positive")


def _as_list(cell: Any) -> list:
    if cell is None:
        return []
    return cell if isinstance(cell, list) else [cell]


def _rows(folder: Path, patterns: list[str], wanted: list[str]) -> Iterator[tuple[str, dict | str]]:
    """Yield (file:row, cells by column or why there are none). Raise AscentError for a column that no row has."""
    for path in (path for pattern in patterns for path in matching_files(folder, pattern)):
        seen: set[str] = set()
        try:
            for number, cells in _FORMATS[_format(path)](path):
                if isinstance(cells, dict):
                    seen.update(cells)
                yield f"{path.name}:{number}", cells
        except (OSError, pa.ArrowInvalid, csv.Error) as error:
            raise AscentError(f"{path}: cannot be read to its end ({error}); replace it.") from None
        missing = [name for name in wanted if name not in seen]
        if seen and missing:
            raise AscentError(
                f"{path}: column '{missing[0]}' is missing (there are: {', '.join(sorted(seen))}); fix `columns` or the file."
            )


def _format(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".zst", ".bz2", ".lz4")]
    if not suffixes or suffixes[-1] not in _FORMATS:
        raise AscentError(f"{path}: unknown format; use one of {', '.join(_FORMATS)}, optionally .gz or .zst.")
    return suffixes[-1]


def _open_text(path: Path) -> io.TextIOWrapper:
    # Broken bytes become lone surrogates, which usable_text finds in their row.
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", errors="surrogateescape", newline="")


# Each of these yields (row number from 1, its cells by column, or why the row is unreadable).


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict | str]]:
    with _open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    cells = json.loads(line)
                except ValueError:
                    cells = None
                yield number, cells if isinstance(cells, dict) else "not a JSON object"


def _read_csv(path: Path) -> Iterator[tuple[int, dict | str]]:
    csv.field_size_limit(sys.maxsize)
    tab = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if _format(path) == ".tsv" else {}
    with _open_text(path) as lines:
        rows = csv.DictReader(lines, restkey="", **tab)
        for cells in rows:
            yield rows.line_num, "more cells than the header has" if "" in cells else cells


def _read_parquet(path: Path) -> Iterator[tuple[int, dict | str]]:
    compressed = path.suffix != ".parquet"
    source = pa.BufferReader(open_bytes(path).read()) if compressed else path
    first = 1
    for batch in pq.ParquetFile(source).iter_batches():
        try:
            yield from enumerate(batch.to_pylist(), first)
        except UnicodeDecodeError:  # somewhere in the batch: find the rows
            for row in range(batch.num_rows):
                try:
                    yield first + row, batch.slice(row, 1).to_pylist()[0]
                except UnicodeDecodeError:
                    yield first + row, "not valid UTF-8"
        first += batch.num_rows


_FORMATS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
