"""The documents among which negatives are mined: a data set's own, then those of corpora, each text once."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from ..errors import AscentError
from .arrays import Stack, keys_of
from .shards import Shards

# Documents that are searched together: of 1,024 numbers they are 268 MB. A multiple of the 1,024 that faiss multiplies
# at once, so that scores do not depend on it.
BLOCK = 65_536


class Documents:
    """Documents by their place among all. Of these, 24 bytes each are in memory.

    Raises AscentError if a corpus has none, or the shards do not come from one model.
    """

    def __init__(self, own: Shards, pools: Mapping[str, Shards]):
        parts = [list(shards.parts("documents")) for shards in (own, *pools.values())]
        for (corpus, shards), of_corpus in zip(pools.items(), parts[1:], strict=True):
            if shards.weights_digest != own.weights_digest:
                raise AscentError(
                    f"{shards.folder}: were embedded by another model than {own.folder}; delete both and re-run."
                )
            if not sum(len(ids) for ids, _ in of_corpus):
                raise AscentError(
                    f"{shards.folder}: the corpus {corpus} has no documents of the data set's split to mine in; remove"
                    " it from mining.documents, or read documents into this split, too."
                )
        arrays = [part for of_corpus in parts for part in of_corpus]
        self._ids, self._embeddings = Stack(ids for ids, _ in arrays), Stack(vectors for _, vectors in arrays)
        self.sources = [None, *pools]
        self._ends = np.cumsum([sum(len(ids) for ids, _ in of_corpus) for of_corpus in parts])
        keys = np.concatenate([keys_of(ids) for ids, _ in arrays])
        # Of equal texts the first counts.
        self._keys, first = np.unique(keys, return_index=True)
        self._rows = np.sort(first)
        self._places = np.searchsorted(self._rows, first)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def blocks(self) -> list["Block"]:
        """The documents in order, in blocks that are read when they are searched."""
        edges = np.searchsorted(self._rows, self._embeddings.starts).tolist()
        return [
            Block(self, start, min(start + BLOCK, end))
            for begin, end in pairwise(edges)
            for start in range(begin, end, BLOCK)
        ]

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Return the places of the documents with these keys (arrays.py), or -1: int64."""
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[found] == keys, self._places[found], -1)

    def ids(self, places: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return the ids at these places, 32 bytes each."""
        return self._ids.take(self._rows[places])

    def embeddings(self, places: np.ndarray) -> np.ndarray:
        """Return the embeddings at these places, float32 (places, dimension)."""
        return self._embeddings.take(self._rows[places])

    def source(self, places: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return where the documents at these places are from, as numbers of `sources`: None is the data set."""
        return np.searchsorted(self._ends, self._rows[places], side="right")


class Block:
    """A run of documents, which becomes an array when it is needed."""

    def __init__(self, documents: Documents, start: int, end: int):
        self._documents, self._start, self._end = documents, start, end

    def __len__(self) -> int:
        return self._end - self._start

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self._documents.embeddings(np.arange(self._start, self._end))
