"""Nearly equal texts: MinHash finds candidates, whose similarity is then computed exactly."""

import numpy as np
import polars as pl

from ...settings.leaks import NearDuplicate
from ..minhash import band_keys, signatures
from ..shingles import character_shingles, distinct

# Two texts are candidates if all rows of one band are equal: at a similarity of 0.8 with a chance of 1 - (1 - 0.8^5)^25
# = 0.9999.
_BANDS, _ROWS = 25, 5


def keys(texts: pl.Series, settings: NearDuplicate) -> pl.DataFrame:
    """Return a key per band of the signature of each text that has letters or digits."""
    places, matrix = signatures(texts, _BANDS * _ROWS)
    return pl.DataFrame({"text": np.repeat(places, _BANDS), "key": band_keys(matrix, _ROWS).ravel()})


def judge(found: pl.DataFrame, settings: NearDuplicate) -> pl.DataFrame:
    """The score is the Jaccard similarity of the texts' shingles."""
    sides = {}
    for side in ("training", "test"):
        texts = found[side].unique(maintain_order=True)
        shingles = distinct(character_shingles(texts))
        counts = shingles.group_by("text").len(name=f"{side}_shingles")
        sides[side] = (pl.DataFrame({side: texts}).with_row_index("text"), shingles, counts)
    pairs = found.with_row_index("pair")
    for side, (texts, _, counts) in sides.items():
        pairs = pairs.join(texts.join(counts, "text"), side, maintain_order="left").rename({"text": f"{side}_place"})
    common = (
        pairs.select("pair", "training_place", "test_place")
        .join(sides["training"][1], left_on="training_place", right_on="text")
        .join(sides["test"][1], left_on=["test_place", "key"], right_on=["text", "key"])
        .group_by("pair")
        .len(name="common")
    )
    union = pl.col("training_shingles") + pl.col("test_shingles") - pl.col("common")
    judged = pairs.join(common, "pair", maintain_order="left").with_columns(score=pl.col("common") / union)
    return judged.filter(pl.col("score") >= settings.similarity).select(*found.columns, "score")
