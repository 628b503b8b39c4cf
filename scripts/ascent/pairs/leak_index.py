"""Which texts of evaluated tasks match a training text, by one method: a sorted array of the tested texts' keys."""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from ..components import module_of
from ..settings.leaks import Leak
from .leaks.embedding import FOUND, EmbeddingIndex, Encode
from .tested import TestedTexts

# Keys of one index, 12 bytes each, and about three times that while they are sorted.
KEYS = 100_000_000
# A key that more texts of a table have (a common phrase) finds the first of them only, so that a batch stays small.
_SHARED_BY = 32
_PAIRS = 20_000


class LeakIndex:
    """The keys of tested texts by a method, and the texts that have them. `first`, `last`: its batches of `tested`."""

    def __init__(self, settings: Leak, tested: TestedTexts, batches: Iterable[int], most: int = KEYS) -> None:
        """Read batches until there are `most` keys; `rest` are those that were not read."""
        self._settings, self._tested, self._method = settings, tested, module_of(settings)
        starts, keys, owners, tables = tested.starts, [], [], []
        self.rest = list(batches)
        while self.rest and sum(map(len, keys)) < most:
            batch = self.rest.pop(0)
            found = self._method.keys(pl.from_arrow(tested.batches[batch])["text"], settings)
            keys.append(found["key"].to_numpy())
            owners.append((found["text"].to_numpy() + starts[batch]).astype(np.uint32))
            tables.append(np.full(len(found), tested.tables.index(tested.tables[batch]), dtype=np.uint32))
        none = np.empty(0, dtype=np.uint32)
        owner, table = np.concatenate([none, *owners]), np.concatenate([none, *tables])
        self._count = np.bincount(owner)
        key = np.concatenate([none.astype(np.uint64), *keys])
        order = np.argsort(key, kind="stable")
        key, owner, table = key[order], owner[order], table[order]
        # Texts of a table follow one another, as they are numbered.
        new = np.ones(len(key), dtype=bool)
        new[1:] = (key[1:] != key[:-1]) | (table[1:] != table[:-1])
        place = np.arange(len(key))
        kept = place - np.maximum.accumulate(np.where(new, place, 0)) < _SHARED_BY
        self._key, self._owner = key[kept], owner[kept]

    def matches(self, texts: pl.Series) -> pl.DataFrame:
        """Return the pairs of a text and a tested text that match: `training` (place in `texts`), `number` (of the
        tested text) and `score`, sorted."""
        keys = self._method.keys(texts, self._settings)
        of_text = np.bincount(keys["text"].to_numpy(), minlength=len(texts))
        found = [self._judged(pairs, texts, of_text) for pairs in self._sharing(keys).iter_slices(_PAIRS)]
        return pl.concat([pl.DataFrame(schema=FOUND), *found]).sort("training", "number")

    def _sharing(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Return the pairs that share a key, with how many they share."""
        keys = keys.sort("key")
        wanted = keys["key"].to_numpy()
        low = np.searchsorted(self._key, wanted, side="left")
        count = np.searchsorted(self._key, wanted, side="right") - low
        places = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
        pairs = pl.DataFrame({"training": np.repeat(keys["text"].to_numpy(), count), "number": self._owner[places]})
        return pairs.group_by("training", "number").len(name="shared").sort("training", "number")

    def _judged(self, pairs: pl.DataFrame, texts: pl.Series, of_text: np.ndarray) -> pl.DataFrame:
        training, number = pairs["training"].to_numpy(), pairs["number"].to_numpy()
        found = pairs.rename({"training": "place"}).with_columns(
            training=texts.gather(training),
            test=self._tested.of(number.astype(np.int64)),
            training_keys=of_text[training],
            test_keys=self._count[number],
        )
        judged = self._method.judge(found, self._settings)
        return judged.select(pl.col("place").alias("training").cast(pl.UInt32), "number", "score")


def indices(
    settings: Leak, tested: TestedTexts, batches: Iterable[int], most: int = KEYS, encode: Encode | None = None
) -> Iterator[LeakIndex | EmbeddingIndex]:
    """Yield one index after the other, until all these batches are read: each is compared with all training texts.

    encode: embeds texts, for a method that compares embeddings."""
    if settings.by_model:
        with EmbeddingIndex(settings, tested, batches, encode) as index:
            yield index
        return
    rest = list(batches)
    while rest:
        index = LeakIndex(settings, tested, rest, most)
        rest = index.rest
        yield index
