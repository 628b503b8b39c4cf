"""Rows in the order in which a stage takes them, computed for the places that are asked for: a pass over 100 million
rows takes as much memory as one over 100.

What a stream has at a place depends on the seed and the place alone, so every process and every resumed run finds the
same rows, at whatever place it begins."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

# With random round functions four rounds already pass for a random permutation with whoever sees few of its values
# (Luby and Rackoff 1988). Of six rows all 720 orders are equally likely by a chi-square test at 16, and not at 12.
ROUNDS = 16
# SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014): the step of its state
# and the two factors of its output.
_STEP, _FIRST, _SECOND = (np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Stream(Protocol):
    """A sequence of rows, of which slices are computed: int64."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice) -> np.ndarray: ...


class Permutation:
    """A random order of `size` rows, of which any part is computed by itself.

    A generalised Feistel network over Z_a x Z_b (Black and Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002,
    sections 4 and 5). Here a and b are about the root of `size`, so the round functions are tables of that many random
    numbers, and the numbers from `size` to a * b, of which there are fewer than a, are left out by walking along the
    cycle.
    """

    def __init__(self, size: int, draw: np.random.Generator):
        wide = math.isqrt(size - 1) + 1
        self._size, self._sides = size, (wide, -(-size // wide))
        self._tables = [
            draw.integers(self._sides[turn % 2], size=self._sides[1 - turn % 2], dtype=np.int32)
            for turn in range(ROUNDS)
        ]

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Return the rows at some places, each from 0 and below `size`: int64."""
        rows = self._image(places)
        while len(beyond := np.flatnonzero(rows >= self._size)):
            rows[beyond] = self._image(rows[beyond])
        return rows

    def _image(self, numbers: np.ndarray) -> np.ndarray:
        right, left = np.divmod(numbers, self._sides[0])
        for turn, table in enumerate(self._tables):
            left = left + table[right]
            left -= self._sides[turn % 2] * (left >= self._sides[turn % 2])
            left, right = right, left
        return right * self._sides[0] + left


class Passes:
    """Pass after pass over `size` rows that begin at row `start`, each in an order of its own; `rows` rows in all."""

    def __init__(self, size: int, rows: int, start: int, seed: int, key: tuple[int, ...]):
        self._size, self._rows, self._start = size, rows, start
        self._order = lru_cache(maxsize=2)(
            lambda number: Permutation(size, np.random.default_rng([seed, number, *key]))
        )

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, places: slice) -> np.ndarray:
        begin, end, _ = places.indices(self._rows)
        found = np.empty(max(0, end - begin), dtype=np.int64)
        for number in range(begin // self._size, -(-end // self._size)):
            first = number * self._size
            own = np.arange(max(begin, first), min(end, first + self._size))
            found[own - begin] = self._start + self._order(number)(own - first)
        return found


class Turns:
    """An order of items of several kinds that interleaves the kinds evenly and keeps each kind's order: the i-th of n
    items of a kind falls at random into the i-th of n equal parts of the whole.

    counts: the items of each kind, of which the product of any with the sum must be below 2^63.
    """

    def __init__(self, counts: Sequence[int], entropy: Sequence[int]):
        self._counts, self._total = np.array(counts, dtype=np.int64), int(sum(counts))
        self._keys = np.random.SeedSequence(entropy).generate_state(len(counts), np.uint64)

    def __len__(self) -> int:
        return self._total

    def between(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the kind of each item from place `begin` to `end`, and its number among its kind: int64."""
        # Of each kind, the items before a point of the whole are as many as its share of the way, or one more. So the
        # item at a place lies at most as many places away from there as there are kinds.
        slack = len(self._counts) + 1
        first = max(begin - slack, 0) * self._counts // self._total
        last = np.minimum(-(-(end + slack) * self._counts // self._total), self._counts)
        near = np.maximum(last - first, 0)
        kinds = np.repeat(np.arange(len(near)), near)
        numbers = np.arange(len(kinds)) + np.repeat(first - (np.cumsum(near) - near), near)
        points = (numbers + uniform(self._keys[kinds], numbers)) / self._counts[kinds]
        before = int(first.sum())
        order = np.argsort(points, kind="stable")[begin - before : end - before]
        return kinds[order], numbers[order]


class Interleaved:
    """The rows of several streams, dealt evenly, see Turns."""

    def __init__(self, streams: Sequence[Stream], entropy: Sequence[int]):
        self._streams, self._turns = streams, Turns([len(stream) for stream in streams], entropy)

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, places: slice) -> np.ndarray:
        begin, end, _ = places.indices(len(self))
        kinds, numbers = self._turns.between(begin, end)
        found = np.empty(len(kinds), dtype=np.int64)
        for kind in np.unique(kinds):
            own = kinds == kind
            here = numbers[own]
            found[own] = self._streams[kind][here[0] : here[-1] + 1]
        return found


def uniform(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return for each key (uint64) the output of the given number, from 0, of SplitMix64 that starts with it, as a
    float64 from 0 and below 1."""
    return (_outputs(keys, numbers) >> np.uint64(11)) * 2.0**-53


def _outputs(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    state = keys + (numbers.astype(np.uint64) + np.uint64(1)) * _STEP
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
