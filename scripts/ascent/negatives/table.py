"""Negatives on disk, and rows joined with them."""

from pathlib import Path

import polars as pl

from ..errors import AscentError
from ..files import write_atomically, write_json
from ..pairs.parquet import Table, named
from ..pairs.table import read_pairs


def write_negatives(table: pl.DataFrame, audit: dict, table_path: Path, audit_path: Path) -> None:
    """Write a negatives table and its audit."""
    with write_atomically(table_path) as temporary:
        table.write_parquet(temporary)
    write_json(audit_path, audit)


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
