"""Drop pairs that the teacher finds unrelated (consistency filtering, C-Pack, arXiv 2309.07597)."""

import polars as pl

from ...settings.pairs import Threshold


def judge(pairs: pl.DataFrame, threshold: Threshold, against: pl.DataFrame) -> pl.DataFrame:
    """Drop pairs whose column `score` is below `min_score`; the threshold itself is kept."""
    return pairs.with_columns(
        reason=pl.when(pl.col("score") < threshold.min_score).then(pl.lit(f"score below {threshold.min_score}"))
    )
