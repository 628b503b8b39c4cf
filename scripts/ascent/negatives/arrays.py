"""Arrays on disk as one, of which some rows are in memory at a time; and ids as numbers."""

from collections.abc import Iterable, Sequence

import numpy as np


class Stack:
    """The rows of several arrays, one behind the other. They are mapped into memory, or in it."""

    def __init__(self, arrays: Iterable[np.ndarray]):
        self.arrays = list(arrays)
        self.starts = np.cumsum([0, *(len(array) for array in self.arrays)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return these rows, in their order."""
        taken = np.empty((len(rows), *self.arrays[0].shape[1:]), dtype=self.arrays[0].dtype)
        where = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(where):
            inside = where == number
            taken[inside] = self.arrays[number][rows[inside] - self.starts[number]]
        return taken


def keys_of(ids: np.ndarray | Sequence[str]) -> np.ndarray:
    """Return the first 64 bits of text ids (pairs/text.py), uint64: in the order of the ids. Two of 10^8 different
    texts have an equal one with a chance of 1 in 4,000."""
    digits = np.asarray(ids, dtype="S32").view(np.uint8).reshape(len(ids), 32)[:, :16]
    halves = np.where(digits >= ord("a"), digits - (ord("a") - 10), digits - ord("0")).astype(np.uint8)
    return (halves[:, ::2] << 4 | halves[:, 1::2]).copy().view(">u8")[:, 0].astype(np.uint64)
