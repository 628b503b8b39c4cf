"""Nearly equal texts: MinHash finds candidates, whose similarity is then computed exactly."""

import numpy as np
import polars as pl
from rensa import RMinHash

from ...settings.leaks import NearDuplicate
from ..shingles import character_shingles, distinct

# Two texts are candidates if all rows of one band are equal: at a similarity of 0.8 with a chance of 1 - (1 - 0.8^5)^25
# = 0.9999.
_BANDS, _ROWS = 25, 5


def keys(texts: pl.Series, settings: NearDuplicate) -> pl.DataFrame:
    """Return a key per band of the signature of each text that has letters or digits."""
    shingles = character_shingles(texts)
    counts = np.bincount(shingles["text"].to_numpy(), minlength=len(texts))
    some = np.flatnonzero(counts).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(counts[some])]).astype(np.uint64)
    flat = np.ascontiguousarray(shingles["key"].to_numpy())
    signatures = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, num_perm=_BANDS * _ROWS, seed=1)
    rows = np.array(signatures.to_rows(), dtype=np.uint64).reshape(len(some) * _BANDS, _ROWS)
    bands = pl.DataFrame(rows).with_columns(band=np.tile(np.arange(_BANDS, dtype=np.uint64), len(some)))
    return pl.DataFrame({"text": np.repeat(some, _BANDS), "key": bands.hash_rows()})


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
