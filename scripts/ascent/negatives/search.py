"""Exact nearest neighbours, of a block of queries among a block of documents at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import ArrayLike

from .arrays import Stack

# Queries that are searched together, and the scores of them that are in memory. A multiple of the 4,096 that faiss
# multiplies at once, so that scores do not depend on it.
QUERIES, SCORES = 65_536, 2**23


def nearest(queries: np.ndarray, documents: Sequence[ArrayLike], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and indexes (queries, depth) of the highest inner products, exactly, best first.

    `documents` is a list of blocks; only one is in memory at a time. Indexes count through all blocks. Equal scores are
    ordered by index, so that the result does not depend on the blocks' sizes.
    """
    depth = min(depth, sum(len(shard) for shard in documents))
    scores = np.empty((len(queries), 0), dtype=np.float32)
    indexes = np.empty((len(queries), 0), dtype=np.int64)
    start = 0
    for shard in documents:
        if not len(shard):
            continue
        shard_scores, places = _nearest_of_shard(
            np.ascontiguousarray(queries), np.ascontiguousarray(shard), min(depth, len(shard))
        )
        scores, indexes = _best(np.hstack([scores, shard_scores]), np.hstack([indexes, places + start]), depth)
        start += len(shard)
    return scores, indexes


def _nearest_of_shard(queries: np.ndarray, shard: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    index = faiss.IndexFlatIP(shard.shape[1])
    index.add(shard)
    scores = np.empty((len(queries), depth), dtype=np.float32)
    indexes = np.empty((len(queries), depth), dtype=np.int64)
    rows, wide = np.arange(len(queries)), depth + 1
    while len(rows):
        searched, places = index.search(queries[rows], min(wide, len(shard)))
        scores[rows], indexes[rows] = _best(searched, places, depth)
        # faiss returns any of the documents that tie for the last place: search deeper until the tie ends.
        rows = rows[searched[:, -1] == scores[rows, -1]] if wide < len(shard) else rows[:0]
        wide *= 2
    return scores, indexes


def _best(scores: np.ndarray, indexes: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((indexes, -scores), axis=1)[:, :depth]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indexes, order, 1)


def rankings(
    queries: Stack, documents: Sequence[ArrayLike], depths: np.ndarray, folder: Path
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """Return a function from a query's row to the scores and indexes of its nearest documents, as many as `depths`
    says. All of them lie in files of a folder.

    depths: int (queries,). Queries of similar depth are searched together, so that one with very many answers costs the
    others nothing."""
    group_of = np.ceil(np.log2(depths)).astype(int)
    place_of, results = np.empty(len(queries), dtype=int), {}
    total = sum(map(len, documents))
    for group in np.unique(group_of).tolist():
        rows = np.flatnonzero(group_of == group)
        place_of[rows] = np.arange(len(rows))
        depth = min(int(depths[rows].max()), total)
        together = min(QUERIES, max(1, SCORES // depth))
        files = [folder / f"{name}-{group}" for name in ("scores", "indexes")]
        with files[0].open("wb") as scores, files[1].open("wb") as indexes:
            for start in range(0, len(rows), together):
                found = nearest(queries.take(rows[start : start + together]), documents, depth)
                for file, array in zip((scores, indexes), found, strict=True):
                    array.tofile(file)
        kinds = (np.float32, np.int64)
        results[group] = [
            np.memmap(file, kind, "r", shape=(len(rows), depth)) for file, kind in zip(files, kinds, strict=True)
        ]

    def ranking(row: int) -> tuple[np.ndarray, np.ndarray]:
        scores, indexes = results[group_of[row]]
        return scores[place_of[row], : depths[row]], indexes[place_of[row], : depths[row]]

    return ranking
