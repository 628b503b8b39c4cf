"""Equal texts, by the hash of the key that leakage.py compares by."""

import polars as pl
import xxhash

from ...settings.leaks import Hash
from ..leakage import leakage_key


def keys(texts: pl.Series, settings: Hash) -> pl.DataFrame:
    """Return one key per text. Two of 10^8 and 10^7 different texts have an equal one with a chance of 1 in 10,000."""
    hashes = [xxhash.xxh3_64_intdigest(leakage_key(text).encode()) for text in texts]
    return pl.DataFrame({"text": range(len(texts)), "key": hashes}, schema={"text": pl.UInt32, "key": pl.UInt64})


def judge(found: pl.DataFrame, settings: Hash) -> pl.DataFrame:
    """All match, with the score 1."""
    return found.with_columns(score=1.0)
