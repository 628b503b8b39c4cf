"""Drop exact duplicates."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ...settings.filters import Duplicate
from ..earlier import repeated_rows
from . import Context

KEYS = ("query_id", "positive_id", "query_prompt", "document_prompt")


def find(part: Path, earlier: Sequence[Path], settings: Duplicate, context: Context) -> pl.DataFrame:
    """Drop a pair that occurred before with the same prompts, and a pair of a text with itself unless the data set's
    positives are its queries."""
    repeated = pl.DataFrame({"row": repeated_rows(part, earlier, KEYS)}, schema={"row": pl.Int64})
    repeated = repeated.with_columns(reason=pl.lit("the pair occurred before"))
    if context.positive == "query":
        return repeated
    rows = pl.scan_parquet(part).with_row_index("row").select(pl.col("row").cast(pl.Int64), "query_id", "positive_id")
    itself = rows.filter(pl.col("query_id") == pl.col("positive_id")).select("row").collect(engine="streaming")
    itself = itself.join(repeated, on="row", how="anti").with_columns(reason=pl.lit("the positive repeats the query"))
    return pl.concat([repeated, itself]).sort("row")
