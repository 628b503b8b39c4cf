"""The form of negatives on disk."""

import pyarrow as pa

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
