"""MinHash: of a text's shingles a few numbers, which two texts have in common as often as shingles (Broder 1997)."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl
from rensa import RMinHash

from .shingles import character_shingles

# Characters that are hashed at a time: their shingles take some thirty times the memory.
_CHARACTERS = 4_000_000
# Of two texts that are just similar enough, the chance to share a band.
_CHANCE = 0.99
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


def signatures(texts: pl.Series, permutations: int, shingle: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the texts that have letters or digits, uint32 (signed,), and their signatures, uint32
    (signed, permutations). The share of equal numbers estimates the Jaccard similarity of two texts' shingles."""
    places, matrices = [np.empty(0, np.uint32)], [np.empty((0, permutations), np.uint32)]
    for start, some in _slices(texts):
        shingles = character_shingles(some, shingle)
        counts = np.bincount(shingles["text"].to_numpy(), minlength=len(some))
        signed = np.flatnonzero(counts).astype(np.uint32)
        offsets = np.concatenate([[0], np.cumsum(counts[signed])]).astype(np.uint64)
        flat = np.ascontiguousarray(shingles["key"].to_numpy())
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, num_perm=permutations, seed=1)
        places.append(signed + np.uint32(start))
        matrices.append(np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(signed), permutations))
    return np.concatenate(places), np.concatenate(matrices)


def _slices(texts: pl.Series) -> Iterator[tuple[int, pl.Series]]:
    """Yield the texts, so many at a time that they have some million characters, each time with the first's place."""
    block = texts.str.len_chars().cum_sum().to_numpy() // _CHARACTERS
    starts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(texts)]
    for start, end in pairwise(starts):
        yield start, texts[start:end]


def band_rows(similarity: float, permutations: int, texts: int = 1) -> int:
    """Return how many numbers a band has: as many as leave two rows, of so many texts each, a chance of 99 % to share
    one if their texts are just as similar. Rows that are less similar rarely do."""
    for rows in range(permutations, 1, -1):
        if 1 - (1 - similarity ** (rows * texts)) ** (permutations // rows) >= _CHANCE:
            return rows
    return 1


def band_keys(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return a hash of each band of so many numbers: uint64 (rows, bands). numbers: integers (rows, any)."""
    bands = numbers.shape[1] // length
    keys = np.tile(np.arange(1, bands + 1, dtype=np.uint64), (len(numbers), 1))
    for place in range(length):
        keys ^= numbers[:, place : bands * length : length].astype(np.uint64)
        keys *= _PRIME
        keys ^= keys >> _SHIFT
    return keys
