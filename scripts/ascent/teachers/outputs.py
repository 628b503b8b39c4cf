"""A teacher's scores and embeddings of the rows that a stage trains on.

Scores are a table: query_id, positive_id, negative_ids and scores, which are those of the positive and of each
negative; one row per row of the data set, in the same order. Embeddings are a folder: embeddings.npy, float16 (texts,
dimension), the distinct queries and then the distinct documents, in order of first occurrence; and meta.json, with the
digests of their pairs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..files import folder_atomically, read_json, sha256_file, write_atomically, write_json
from ..pairs.parquet import Following, Table, digest_of_table, files_of, named
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


def candidates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the query with each of its row's documents, the positive first, one row after another."""
    return rows.select("query", document=pl.concat_list("positive", "negatives")).explode("document")


def write_scores(path: Path, rows: pl.DataFrame, scores: np.ndarray) -> None:
    """Write the scores of the rows' candidates, (candidates,)."""
    counts = (rows["negatives"].list.len() + 1).to_numpy()
    lists = pl.DataFrame({"row": np.repeat(np.arange(len(rows)), counts), "scores": scores})
    lists = lists.group_by("row", maintain_order=True).agg("scores")
    with write_atomically(path) as temporary:
        _ids(rows).with_columns(lists["scores"]).write_parquet(temporary)


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


def write_embeddings(output: Path, embeddings: np.ndarray, pairs: Table, negatives: Path | None) -> None:
    """Write the embeddings of the texts of a data set's rows, float16 (texts, dimension)."""
    with folder_atomically(output) as folder:
        np.save(folder / "embeddings.npy", embeddings)
        write_json(folder / "meta.json", _origin(pairs, negatives) | {"sha256": sha256_file(folder / "embeddings.npy")})


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
