"""Negatives on disk, and rows joined with them."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..pairs.parquet import Table, named
from ..pairs.table import read_pairs

# Columns of a table of negatives: ids, texts and scores.
NEGATIVES = ("negative_ids", "negatives", "scores")
RESERVE = ("reserve_ids", "reserve", "reserve_scores")


def schema_of(reserve: bool) -> pa.Schema:
    """Return the columns of a table of negatives, with or without a reserve."""
    kinds = (pa.list_(pa.string()), pa.list_(pa.string()), pa.list_(pa.float64()))
    lists = [*zip(NEGATIVES, kinds, strict=True), *zip(RESERVE, kinds, strict=True)][: 6 if reserve else 3]
    return pa.schema(
        {"query_id": pa.string(), "positive_id": pa.string(), "positive_score": pa.float64(), **dict(lists)}
    )


def read_negatives(path: Path) -> pl.DataFrame:
    """Return the texts of the negatives, and of the reserve if there is one, with their pair's query_id and
    positive_id."""
    texts = [name for name in ("negatives", "reserve") if name in pl.read_parquet_schema(path)]
    return pl.read_parquet(path, columns=["query_id", "positive_id", *texts])


def training_rows(pairs: Table, negatives: Path | None) -> pl.DataFrame:
    """Return a data set's rows with the negatives that they are trained with. Mined ones have no stored scores."""
    columns = ("query", "positive", "negatives", "label", "query_id", "positive_id", "scores", "task")
    rows = read_pairs(pairs).select(*columns, "query_prompt", "document_prompt")
    if negatives is None:
        return rows
    keys = ["query_id", "positive_id"]
    mined = read_negatives(negatives)
    both = rows.drop("negatives").join(mined, on=keys, how="left", maintain_order="left")
    both = both.with_columns(scores=pl.lit(None, rows.schema["scores"]))
    if both["negatives"].null_count() or len(mined) != rows.select(keys).n_unique():
        raise AscentError(f"{negatives}: was mined for other pairs than {named(pairs)}; mine again.")
    return both
