"""A teacher's scores and embeddings of the rows that a stage trains on.

Scores are a table: query_id, positive_id, negative_ids and scores, which are those of the positive and of each
negative; one row per row of the data set, in the same order. Embeddings are a folder: embeddings.npy, float16 (texts,
dimension), the distinct queries and then the distinct documents, in order of first occurrence; and meta.json, with the
digests of their pairs."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..files import folder_atomically, read_json, sha256_file, write_json
from ..pairs.parquet import Following, Table, digest_of_table, files_of, named, writing
from ..pairs.text import text_id

_IDS = ("query_id", "positive_id", "negative_ids")
_SCHEMA = pa.schema(
    {
        "query_id": pa.string(),
        "positive_id": pa.string(),
        "negative_ids": pa.list_(pa.string()),
        "scores": pa.list_(pa.float64()),
    }
)


@dataclass
class Scored:
    """What was written: how many rows and scores, and the least and the greatest of these."""

    rows: int = 0
    scores: int = 0
    least: float = math.inf
    greatest: float = -math.inf


def write_scores(path: Path, rows: Iterable[pl.DataFrame], scores: Iterable[np.ndarray]) -> Scored:
    """Write the scores of the rows' candidates, float32 (candidates,), a batch of rows at a time."""
    told = Scored()
    with writing(path, _SCHEMA) as add:
        for batch, found in zip(rows, scores, strict=True):
            offsets = pa.array(np.cumsum([0, *(batch["negatives"].list.len() + 1)]), type=pa.int32())
            lists = pa.ListArray.from_arrays(offsets, pa.array(found, type=pa.float64(), safe=False))
            add(_ids(batch).with_columns(scores=pl.from_arrow(lists)))
            told.rows, told.scores = told.rows + len(batch), told.scores + len(found)
            told.least, told.greatest = min(told.least, found.min()), max(told.greatest, found.max())
    return told


def read_scores(table: Table, rows: Iterable[pl.DataFrame]) -> Iterator[np.ndarray]:
    """Yield the scores of the rows' candidates, a batch of rows at a time: float32 (candidates,).

    Raises AscentError if the table was made for other rows, or a score is missing or not finite.
    """
    scored = Following(files_of(table), _SCHEMA)
    other = f"{named(table)}: was made for other pairs or negatives than the stage trains on; score them again."
    for batch in rows:
        found = scored.take(len(batch))
        if not found.select(_IDS).equals(_ids(batch)):
            raise AscentError(other)
        scores = found["scores"].explode().cast(pl.Float32)
        counted = (found["scores"].list.len() == found["negative_ids"].list.len() + 1).all()
        if not counted or scores.null_count() or not scores.is_finite().all():
            raise AscentError(f"{named(table)}: a candidate's score is missing or not finite; score them again.")
        yield scores.to_numpy()
    if len(scored.take(1)):
        raise AscentError(other)


def stored_scores(table: Table, rows: Iterable[pl.DataFrame]) -> Iterator[np.ndarray]:
    """Yield the scores that came with a pair table's rows, a batch of rows at a time: float32 (candidates,). Raises
    AscentError at the end if a row had none."""
    total = missing = 0
    for batch in rows:
        total, missing = total + len(batch), missing + batch["scores"].null_count()
        yield batch["scores"].explode().cast(pl.Float32).to_numpy()
    if missing:
        raise AscentError(
            f"{named(table)}: {missing} of {total} rows have no stored scores for the stage to learn from; name"
            " their columns in the corpus's `reader` (positive_scores, negative_scores), or use a model as the"
            " teacher."
        )


@contextmanager
def writing_embeddings(output: Path, pairs: Table, negatives: Path | None) -> Iterator[Path]:
    """Yield the file to write the embeddings of the texts of a data set's rows to, float16 (texts, dimension), in a new
    folder."""
    with folder_atomically(output) as folder:
        file = folder / "embeddings.npy"
        yield file
        write_json(folder / "meta.json", _origin(pairs, negatives) | {"sha256": sha256_file(file)})


def embeddings_file(folder: Path, pairs: Table, negatives: Path | None) -> Path:
    """Return a folder's file of embeddings. Raises AscentError if they were made for other rows, or are damaged."""
    path, meta = folder / "embeddings.npy", read_json(folder / "meta.json")
    if meta != _origin(pairs, negatives) | {"sha256": sha256_file(path) if path.exists() else None}:
        raise AscentError(f"{folder}: is damaged, or was made for other pairs or negatives; remove it and re-run.")
    return path


def _origin(pairs: Table, negatives: Path | None) -> dict:
    return {"pairs": digest_of_table(pairs), "negatives": sha256_file(negatives) if negatives else None}


def _ids(rows: pl.DataFrame) -> pl.DataFrame:
    negatives = pl.col("negatives").list.eval(pl.element().map_elements(text_id, return_dtype=pl.String))
    return rows.select("query_id", "positive_id", negative_ids=negatives)
