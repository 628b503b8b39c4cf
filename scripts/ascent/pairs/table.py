"""The pair table: the form of every corpus, data set and evaluation.

A text's id is a hash of the text, so that the same text has the same id everywhere. Tables are parquet files
(parquet.py); in memory they are polars frames with the columns of SCHEMA or DOCUMENT_SCHEMA, in that order.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import AscentError
from ..settings.evaluation import TaskType
from .parquet import Table, files_of, named, read_batches, read_columns, writing
from .text import text_id

TASKS = get_args(TaskType)
SPLITS = ("train", "validation", "test")

SCHEMA = pa.schema(
    {
        "query": pa.string(),
        "positive": pa.string(),
        "negatives": pa.list_(pa.string()),
        "query_id": pa.string(),
        "positive_id": pa.string(),
        "label": pa.float64(),  # the human score of a graded pair; null elsewhere
        "scores": pa.list_(
            pa.float64()
        ),  # a teacher's, of the positive and of each negative; null if the corpus has none
        "query_prompt": pa.string(),  # the row's own prompts, without a template; null where it has none
        "document_prompt": pa.string(),
        "task": pa.string(),
        "dataset": pa.string(),
        "language": pa.string(),
        "split": pa.string(),
        # Where it comes from: the origin of its document, or what the corpus's reader says of its row, of the first
        # text's where it is made of several; null where that is unknown.
        "origin": pa.string(),
    }
)
# What a step finds out of each pair, and filters judge by: the columns behind the ids.
_PAIR = {"query_id": pa.string(), "positive_id": pa.string()}
MEASURES = {
    "perplexities": pa.schema(_PAIR | {"query_perplexity": pa.float64(), "positive_perplexity": pa.float64()}),
    "scores": pa.schema(_PAIR | {"score": pa.float64()}),
    "ranks": pa.schema(_PAIR | {"rank": pa.int64()}),
}
# `origin` leads back to where a document was read, or was cut out: `<url, id or file:row>#char=<first>,<behind last>`,
# counted in characters of the document as it was read (RFC 5147). Null where there is none.
PASSAGE = r"#char=\d+,\d+$"
DOCUMENT_SCHEMA = pa.schema(
    {"document_id": pa.string(), "text": pa.string(), "split": pa.string(), "origin": pa.string()}
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of a corpus. In classification rows the positive is the label's text."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    label: float | None = None
    task: str = "retrieval"
    split: str = "train"
    scores: tuple[float, ...] | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    origin: str | None = None


# Columns whose cells may be null, and which tables of others need not have.
OPTIONAL = tuple(field.name for field in fields(Pair) if field.default is None and field.name != "label")
# What may be null, and what may be missing.
_MAY_BE = ({"label", *OPTIONAL}, OPTIONAL)


@dataclass(frozen=True, slots=True)
class Document:
    """A text that the queries of a split are searched in, or that pairs are extracted from."""

    text: str
    split: str
    title: str = ""
    origin: str | None = None


def whole_document(origin: str | None) -> str | None:
    """Return the origin of the document that a passage was cut out of.

    >>> whole_document("guide.md:7#char=0,120")
    'guide.md:7'
    """
    return origin and re.sub(PASSAGE, "", origin)


def pair_frame(pairs: Iterable[Pair], dataset: str, language: str) -> pl.DataFrame:
    """Return pairs as a frame in the form of SCHEMA, with ids."""
    pairs = list(pairs)
    columns = {field.name: [getattr(pair, field.name) for pair in pairs] for field in fields(Pair)}
    columns |= {f"{side}_id": [text_id(text) for text in columns[side]] for side in ("query", "positive")}
    columns |= {"dataset": [dataset] * len(pairs), "language": [language] * len(pairs)}
    return pl.DataFrame({name: column_of(name, columns[name]) for name in SCHEMA.names})


def column_of(name: str, values: Sequence) -> pl.Series:
    """Return values as the column of SCHEMA with this name: by Arrow, as polars would make a series of each list."""
    return pl.from_arrow(pa.array(values, SCHEMA.field(name).type))


def document_frame(documents: Iterable[Document]) -> pl.DataFrame:
    """Return documents as a frame in the form of DOCUMENT_SCHEMA, each text once per split."""
    rows = [(text_id(document.text), document.text, document.split, document.origin) for document in documents]
    frame = pl.DataFrame(rows, schema=_polars(DOCUMENT_SCHEMA), orient="row")
    return frame.unique(["document_id", "split"], keep="first", maintain_order=True)


def write_pairs(path: str | Path, pairs: pl.DataFrame) -> None:
    """Write a pair table: same rows, same bytes."""
    with writing(path, SCHEMA) as add:
        add(pairs)


def write_documents(path: str | Path, documents: pl.DataFrame) -> None:
    """Write a document table: same rows, same bytes."""
    with writing(path, DOCUMENT_SCHEMA) as add:
        add(documents)


def read_pairs(table: Table, *conditions: pl.Expr) -> pl.DataFrame:
    """Read a pair table, or the rows of it for which some conditions hold; of the others a batch at a time is held.

    Raises AscentError if a file is missing or there are no rows, a column is missing or of another type, a text is
    empty, a label is NaN, scores are not one finite number per document, or a task or split is unknown."""
    parts, rows = [pl.from_arrow(SCHEMA.empty_table())], 0
    for batch in all_batches(table):
        rows += len(batch)
        parts.append(batch.filter(*conditions) if conditions else batch)
    if not rows:
        raise AscentError(f"{named(table)}: has no rows; check the step that made it, by the audit-*.json beside it.")
    return pl.concat(parts)


def pair_batches(path: str | Path) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the rows of one file of a pair table, a batch at a time, each with the number of its first row from 0.

    The file may have no rows. Raises AscentError else as read_pairs does.
    """
    start = 0
    for batch in read_batches(path, SCHEMA, *_MAY_BE):
        yield start, _checked(path, batch, start)
        start += len(batch)


def all_batches(table: Table) -> Iterator[pl.DataFrame]:
    """Yield the rows of all files of a pair table, a batch at a time. Raises AscentError as pair_batches does."""
    return (batch for path in files_of(table) for _, batch in pair_batches(path))


def _checked(path: Path, pairs: pl.DataFrame, start: int) -> pl.DataFrame:
    """Return the rows if they are right. start: the number of the first."""
    _check_rows(path, pairs, pl.col("query").str.len_bytes() == 0, "an empty query", start)
    _check_rows(path, pairs, pl.col("positive").str.len_bytes() == 0, "an empty positive", start)
    _check_rows(path, pairs, pl.col("label").is_nan(), "a label that is NaN", start)
    counted = pl.col("scores").list.len() == pl.col("negatives").list.len() + 1
    _check_rows(
        path, pairs, ~counted, "too few or too many scores, which are one for the positive and one per negative", start
    )
    finite = pl.col("scores").list.eval(pl.element().is_finite().fill_null(False)).list.all()
    _check_rows(path, pairs, ~finite, "a score that is missing or not finite", start)
    _check_rows(path, pairs, ~pl.col("task").is_in(TASKS), f"a task that is none of {', '.join(TASKS)}", start)
    _check_rows(path, pairs, ~pl.col("split").is_in(SPLITS), f"a split that is none of {', '.join(SPLITS)}", start)
    return pairs


def count_pairs(table: Table) -> int:
    """Return how many rows a pair table has."""
    return sum(pq.read_metadata(path).num_rows for path in files_of(table))


def read_tested(tables: Iterable[str | Path]) -> pl.DataFrame:
    """Return the rows of all these files that are not for training; of no files an empty table. Raises AscentError as
    read_pairs does."""
    found = [pair_frame([], "", "")]
    for path in tables:
        found += [batch.filter(pl.col("split") != "train") for _, batch in pair_batches(path)]
    return pl.concat(found)


def read_measures(path: str | Path, measured: str) -> pl.DataFrame:
    """Read what score_pairs, rank_pairs or measure_perplexity writes. Raises AscentError as read_columns does."""
    return pl.from_arrow(read_columns(path, MEASURES[measured]))


def read_documents(table: Table) -> pl.DataFrame:
    """Read a document table, which may be empty, each text once per split. Raises AscentError as read_pairs does."""
    empty = pl.from_arrow(DOCUMENT_SCHEMA.empty_table())
    parts = [empty, *(batch for path in files_of(table) for batch in document_batches(path))]
    return pl.concat(parts).unique(["document_id", "split"], keep="first", maintain_order=True)


def document_batches(path: str | Path) -> Iterator[pl.DataFrame]:
    """Yield the rows of one file of a document table, a batch at a time. Raises AscentError as read_pairs does."""
    start = 0
    for batch in read_batches(path, DOCUMENT_SCHEMA, {"origin"}, {"origin"}):
        _check_rows(path, batch, pl.col("text").str.len_bytes() == 0, "an empty text", start)
        yield batch
        start += len(batch)


def _check_rows(path: str | Path, frame: pl.DataFrame, wrong: pl.Expr, what: str, start: int) -> None:
    rows = frame.select(wrong.fill_null(False).arg_true()).to_series()
    if len(rows):
        which = f"row {start + rows[0]} (first of {len(rows)}, counting from 0)"
        raise AscentError(f"{path}: {which} has {what}; fix or remove {'these rows' if len(rows) > 1 else 'this row'}.")


def _polars(schema: pa.Schema) -> pl.Schema:
    return pl.from_arrow(schema.empty_table()).schema


def distinct_rows(frame: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the distinct rows of a frame without nulls, in order of first occurrence, and the place of each row among
    them, int64."""
    distinct = frame.unique(maintain_order=True)
    places = frame.join(distinct.with_row_index("place"), on=frame.columns, how="left", maintain_order="left")["place"]
    return distinct, places.cast(pl.Int64).to_numpy().copy()


def distinct_texts(texts: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return the distinct texts in order of first occurrence, and the place of each text among them, int64."""
    distinct, places = distinct_rows(texts.to_frame("text"))
    return distinct["text"], places
