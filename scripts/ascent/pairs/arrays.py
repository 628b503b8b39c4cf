"""Arrays in .npy files that grow a block at a time, and are then mapped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

# Numbers that are in memory together.
BLOCK = 1 << 18


class Growing:
    """An array in a file, of numbers or of rows of numbers."""

    def __init__(self, file: BinaryIO, dtype: str, *row: int):
        self._file, self._dtype, self._row, self.length = file, dtype, row, 0
        self.write_header()

    def add(self, numbers: np.ndarray) -> None:
        """Append numbers, or rows of them, as the array's type."""
        self._file.write(np.ascontiguousarray(numbers, dtype=self._dtype).data)
        self.length += len(numbers)

    def write_header(self) -> None:
        """Write the header at the file's beginning: numpy leaves room in it for any length."""
        self._file.seek(0)
        header = {"descr": self._dtype, "fortran_order": False, "shape": (self.length, *self._row)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def growing(path: Path, dtype: str, *row: int) -> Iterator[Growing]:
    """Yield an array that is written to a new file, in the bytes of np.save. dtype: such as `<i8`; row: the shape of
    each of its rows, by default a number."""
    with path.open("wb") as file:
        array = Growing(file, dtype, *row)
        yield array
        array.write_header()


class Offsets:
    """Sums of counts so far, from 0, in an array that grows: int64, one more than there are counts."""

    def __init__(self, array: Growing):
        self._array, self._sum = array, 0
        array.add(np.zeros(1, dtype=np.int64))

    def add(self, counts: np.ndarray) -> None:
        """Append the sums behind these counts."""
        sums = self._sum + np.cumsum(counts, dtype=np.int64)
        self._array.add(sums)
        self._sum = int(sums[-1]) if len(sums) else self._sum


def mapped(path: Path) -> np.ndarray:
    """Return the array of a file, mapped and not read. Single items of a plain array are read several times faster than
    those of a memmap."""
    return np.load(path, mmap_mode="r").view(np.ndarray)


def blocks(length: int) -> Iterator[slice]:
    """Yield the places of an array, a block at a time."""
    return (slice(begin, min(begin + BLOCK, length)) for begin in range(0, length, BLOCK))
