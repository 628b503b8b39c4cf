"""The pair table: the form of every corpus, data set and evaluation.

A text's id is a hash of the text, so that the same text has the same id everywhere. Tables are parquet files; in memory
they are polars frames with the columns of SCHEMA or DOCUMENT_SCHEMA, in that order.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import AscentError
from ..files import write_atomically
from ..settings.evaluation import TaskType
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
        "scores": pa.list_(pa.float64()),  # a teacher's, of the positive and of each negative; null if the corpus has none
        "query_prompt": pa.string(),  # the row's own prompts, without a template; null where it has none
        "document_prompt": pa.string(),
        "task": pa.string(),
        "dataset": pa.string(),
        "language": pa.string(),
        "split": pa.string(),
    }
)
# Columns that are left out if no row has a value.
OPTIONAL = ("scores", "query_prompt", "document_prompt")
SCORE_SCHEMA = pa.schema({"query_id": pa.string(), "positive_id": pa.string(), "score": pa.float64()})
# `origin` leads back to where a document was read, or was cut out: `<url, id or file:row>#char=<first>,<behind last>`, counted in
# characters of the document as it was read (RFC 5147). Left out if no document has one.
DOCUMENT_SCHEMA = pa.schema({"document_id": pa.string(), "text": pa.string(), "split": pa.string(), "origin": pa.string()})


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


@dataclass(frozen=True, slots=True)
class Document:
    """A text that the queries of a split are searched in, or that pairs are extracted from."""

    text: str
    split: str
    title: str = ""
    origin: str | None = None


def pair_frame(pairs: Iterable[Pair], dataset: str, language: str) -> pl.DataFrame:
    """Return pairs as a frame in the form of SCHEMA, with ids."""
    rows = [
        {
            "query": pair.query,
            "positive": pair.positive,
            "negatives": list(pair.negatives),
            "query_id": text_id(pair.query),
            "positive_id": text_id(pair.positive),
            "label": pair.label,
            "scores": None if pair.scores is None else list(pair.scores),
            "query_prompt": pair.query_prompt,
            "document_prompt": pair.document_prompt,
            "task": pair.task,
            "dataset": dataset,
            "language": language,
            "split": pair.split,
        }
        for pair in pairs
    ]
    return pl.DataFrame(rows, schema=_polars(SCHEMA))


def document_frame(documents: Iterable[Document]) -> pl.DataFrame:
    """Return documents as a frame in the form of DOCUMENT_SCHEMA, each text once per split."""
    rows = [(text_id(document.text), document.text, document.split, document.origin) for document in documents]
    frame = pl.DataFrame(rows, schema=_polars(DOCUMENT_SCHEMA), orient="row")
    return frame.unique(["document_id", "split"], keep="first", maintain_order=True)


def write_pairs(path: str | Path, pairs: pl.DataFrame) -> None:
    """Write a pair table: same rows, same bytes. An optional column is left out if it is empty."""
    empty = [name for name in OPTIONAL if pairs[name].null_count() == len(pairs)]
    _write(path, pairs, pa.schema([field for field in SCHEMA if field.name not in empty]))


def write_documents(path: str | Path, documents: pl.DataFrame) -> None:
    """Write a document table: same rows, same bytes. `origin` is left out if no document has one."""
    empty = documents["origin"].null_count() == len(documents)
    _write(path, documents, pa.schema([field for field in DOCUMENT_SCHEMA if not (empty and field.name == "origin")]))


def read_pairs(path: str | Path) -> pl.DataFrame:
    """Read a pair table.

    Raises AscentError if the file is missing or has no rows, a column is missing or of another type, a text is empty, a
    label is NaN, scores are not one finite number per document, or a task or split is unknown.
    """
    pairs = _read(path, SCHEMA, may_be_null={"label", *OPTIONAL}, may_be_missing=OPTIONAL)
    if pairs.is_empty():
        raise AscentError(f"{path}: has no rows; check the step that made it.")
    _check_rows(path, pairs, pl.col("query").str.len_bytes() == 0, "an empty query")
    _check_rows(path, pairs, pl.col("positive").str.len_bytes() == 0, "an empty positive")
    _check_rows(path, pairs, pl.col("label").is_nan(), "a label that is NaN")
    counted = pl.col("scores").list.len() == pl.col("negatives").list.len() + 1
    _check_rows(path, pairs, ~counted, "too few or too many scores, which are one for the positive and one per negative")
    finite = pl.col("scores").list.eval(pl.element().is_finite().fill_null(False)).list.all()
    _check_rows(path, pairs, ~finite, "a score that is missing or not finite")
    _check_rows(path, pairs, ~pl.col("task").is_in(TASKS), f"a task that is none of {', '.join(TASKS)}")
    _check_rows(path, pairs, ~pl.col("split").is_in(SPLITS), f"a split that is none of {', '.join(SPLITS)}")
    return pairs


def read_all_pairs(paths: Iterable[str | Path]) -> pl.DataFrame:
    """Read several pair tables as one; of none, an empty one. Raises AscentError as read_pairs does."""
    return pl.concat([pair_frame([], "", ""), *map(read_pairs, paths)])


def read_pair_scores(path: str | Path) -> pl.DataFrame:
    """Read what score_pairs writes. Raises AscentError as read_columns does."""
    return pl.from_arrow(read_columns(path, SCORE_SCHEMA))


def read_documents(path: str | Path) -> pl.DataFrame:
    """Read a document table, which may be empty. Raises AscentError as read_pairs does."""
    documents = _read(path, DOCUMENT_SCHEMA, may_be_null={"origin"}, may_be_missing={"origin"})
    _check_rows(path, documents, pl.col("text").str.len_bytes() == 0, "an empty text")
    return documents


def read_columns(path: str | Path, schema: pa.Schema, may_be_missing: Collection[str] = ()) -> pa.Table:
    """Read these columns of a parquet file. One that may be missing is then null.

    Raises AscentError if another column is missing, or one is of another type.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; run the step that makes it.") from None
    except (OSError, pa.ArrowInvalid):
        raise AscentError(f"{path}: not a complete parquet file; remove it and run the step that makes it.") from None
    for field in schema:
        if field.name in may_be_missing and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
        if field.name not in table.column_names:
            raise AscentError(f"{path}: column '{field.name}' is missing (there are: {', '.join(table.column_names)}); add it.")
        kind = table.schema.field(field.name).type
        if _plain(kind) != field.type:
            raise AscentError(f"{path}: column '{field.name}' is {kind}, but must be {field.type}; convert it.")
    return table.select(schema.names).cast(schema)


def _read(
    path: str | Path, schema: pa.Schema, may_be_null: Collection[str] = (), may_be_missing: Collection[str] = ()
) -> pl.DataFrame:
    table = read_columns(path, schema, may_be_missing)
    for name in schema.names:
        column = table[name]
        inner = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        if (column.null_count or inner.null_count) and name not in may_be_null:
            raise AscentError(f"{path}: column '{name}' has empty cells (null); fill them or remove the rows.")
    return pl.from_arrow(table)


def _write(path: str | Path, frame: pl.DataFrame, schema: pa.Schema) -> None:
    table = frame.select(schema.names).to_arrow().cast(schema)
    with write_atomically(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _check_rows(path: str | Path, frame: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    rows = frame.select(wrong.fill_null(False).arg_true()).to_series()
    if len(rows):
        which = f"row {rows[0]} (first of {len(rows)}, counting from 0)"
        raise AscentError(f"{path}: {which} has {what}; fix or remove {'these rows' if len(rows) > 1 else 'this row'}.")


def _polars(schema: pa.Schema) -> pl.Schema:
    return pl.from_arrow(schema.empty_table()).schema


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type that other writers' forms of it (large, view, half precision) stand for."""
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.float64() if pa.types.is_floating(kind) else kind


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
