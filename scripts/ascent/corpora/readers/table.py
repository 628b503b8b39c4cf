"""Tables: jsonl, csv, tsv and parquet, each optionally compressed (gz, zst).

csv and tsv have a header. csv is quoted as RFC 4180 says; tsv is not quoted, as in MS MARCO: a quote is text.
"""

import csv
import io
import json
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import model_validator

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.base import Settings, TaskType
from . import BadRow, Rejected, matching_files, open_bytes, usable_number, usable_text

Split = Literal["train", "validation", "test"]


class Columns(Settings):
    """Which column holds what."""

    query: str = "query"
    """The query; in classification rows the text."""
    positive: str = "positive"
    """The positive, or a list of positives, which makes a pair of each; in classification rows the label."""
    negatives: list[str] = []
    """Columns of negatives; each cell is a text or a list of texts, and may be empty."""
    label: str | None = None
    """The human score of a graded pair."""
    positive_scores: str | None = None
    """A teacher's score of the positive, or a list, one for each positive; for stages with `teacher: {kind: stored}`."""
    negative_scores: list[str] = []
    """Columns of the teacher's scores of the negatives, one for each of `negatives`; a cell has as many numbers as that one has
    texts."""

    @model_validator(mode="after")
    def _all_documents_are_scored(self):
        wanted = len(self.negatives) if self.positive_scores else 0
        if (self.positive_scores and not wanted) or len(self.negative_scores) != wanted:
            raise ValueError(
                "a teacher's scores are those of the positive and of all negatives: name positive_scores, and one column of "
                "negative_scores for each of negatives"
            )
        return self


class Options(Settings):
    """Options of the reader `table`."""

    pairs: dict[Split, list[str]]
    """Files of pairs of each split: glob patterns within the resource."""
    columns: Columns = Columns()
    """Which column holds what."""
    task: TaskType = "retrieval"
    """The task type of the rows."""
    documents: dict[Split, list[str]] = {}
    """Files of documents that the split's queries are searched in, besides the positives."""
    document_column: str = "text"
    """The column of a document's text."""


def read(folder: Path, options: Options) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of all files, split by split."""
    columns = options.columns
    named = [columns.query, columns.positive, *columns.negatives, *columns.negative_scores]
    named += [name for name in (columns.label, columns.positive_scores) if name]
    sets = [(_pairs, named, *item) for item in options.pairs.items()]
    sets += [(_document, [options.document_column], *item) for item in options.documents.items()]
    for make, wanted, split, patterns in sets:
        for where, cells in _rows(folder, patterns, wanted):
            try:
                if isinstance(cells, str):
                    raise BadRow(cells)
                yield from make(cells, split, options)
            except BadRow as reason:
                yield Rejected(where, str(reason))


def _pairs(cells: dict, split: str, options: Options) -> list[Pair]:
    columns = options.columns
    query = usable_text(cells.get(columns.query), "query")
    positives = [
        (_positive(value, options.task), score)
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
        Pair(query, positive, texts, label, options.task, split, (score, *scores) if columns.positive_scores else None)
        for positive, score in positives
    ]


def _scored(cells: dict, texts: str, scores: str | None, what: str) -> list[tuple[Any, float | None]]:
    """Return each text of a cell with its score; None without a column of scores, or without a text."""
    values = _as_list(cells.get(texts))
    if scores is None:
        return [(value, None) for value in values]
    numbers = _as_list(cells.get(scores))
    if len(numbers) != len(values):
        raise BadRow(f"not one score for each {what}")
    return [
        (value, None if value in (None, "") else usable_number(number, f"{what}'s score"))
        for value, number in zip(values, numbers, strict=True)
    ]


def _document(cells: dict, split: str, options: Options) -> list[Document]:
    return [Document(usable_text(cells.get(options.document_column), "document"), split)]


def _positive(value: Any, task: str) -> str:
    if task == "classification" and isinstance(value, int):  # class numbers are as common as class names
        value = str(value)
    return usable_text(value, "positive")


def _as_list(cell: Any) -> list:
    if cell is None:
        return []
    return cell if isinstance(cell, list) else [cell]


def _rows(folder: Path, patterns: list[str], wanted: list[str]) -> Iterator[tuple[str, dict | str]]:
    """Yield (file:row, cells by column or why there are none). A column that is in no row is an error."""
    for path in (path for pattern in patterns for path in matching_files(folder, pattern)):
        seen: set[str] = set()
        try:
            for number, cells in _READERS[_format(path)](path):
                if isinstance(cells, dict):
                    seen.update(cells)
                yield f"{path.name}:{number}", cells
        except (OSError, pa.ArrowInvalid, csv.Error) as error:
            raise AscentError(f"{path}: cannot be read to its end ({error}); replace the file.") from None
        missing = [name for name in wanted if name not in seen]
        if seen and missing:
            raise AscentError(
                f"{path}: column '{missing[0]}' is missing (there are: {', '.join(sorted(seen))}); mend `options` or the file."
            )


def _format(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".zst", ".bz2", ".lz4")]
    if not suffixes or suffixes[-1] not in _READERS:
        raise AscentError(f"{path}: its format is not known; name it {', '.join(_READERS)}, optionally .gz or .zst.")
    return suffixes[-1]


def _open_text(path: Path) -> io.TextIOWrapper:
    # Broken bytes become lone surrogates, which usable_text finds in the row that they are in.
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


_READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
