"""Each pair's nearest documents: which of them are answers, which is the query itself, and which may be negatives."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import AscentError
from ..pairs.parquet import Table, files_of, read_batches
from ..pairs.table import SCHEMA
from .arrays import Stack, keys_of
from .documents import Documents
from .search import rankings
from .shards import Shards

# A document's score and its place among all documents.
Candidate = tuple[float, int]
_IDS = pa.schema([SCHEMA.field(name) for name in ("query_id", "positive_id")])


@dataclass(frozen=True, slots=True)
class Ranked:
    """A query's nearest documents: the positive's score, how many are ranked, how many of these are answers, whether
    one is the query itself, and those that are neither, best first."""

    positive_score: float
    ranked: int
    answers: int
    itself: int
    others: list[Candidate]


class Ranking:
    """Each query's nearest documents, as deep as itself, its answers and `depth` others reach; in files of a folder. In
    memory are some numbers for each query and pair.

    Raises AscentError if the shards lack a text of the pairs.
    """

    def __init__(self, shards: Shards, documents: Documents, pairs: Table, depth: int, folder: Path):
        parts = shards.parts("queries")
        self._documents, self._queries = documents, Stack(embeddings for _, embeddings in parts)
        queries = np.concatenate([keys_of(ids) for ids, _ in parts])
        self._rows, self._places = _places_of_pairs(shards, queries, documents, pairs)
        answers = np.unique(np.stack([self._rows, self._places], axis=1), axis=0)
        self._answers = answers[:, 1]
        self._starts = np.searchsorted(answers[:, 0], np.arange(len(queries) + 1))
        self._itself = documents.places(queries)
        is_answer = np.zeros(len(queries), dtype=bool)
        is_answer[answers[answers[:, 1] == self._itself[answers[:, 0]], 0]] = True
        depths = depth + np.diff(self._starts) + ((self._itself >= 0) & ~is_answer)
        self._nearest = rankings(self._queries, documents.blocks, depths, folder)

    def of(self, first: int, count: int) -> Iterator[Ranked]:
        """Yield the ranked documents of `count` pairs from the first on."""
        rows, places = (array[first : first + count] for array in (self._rows, self._places))
        queries, positives = self._queries.take(rows), self._documents.embeddings(places)
        for row, query, positive in zip(rows.tolist(), queries, positives, strict=True):
            ranked = [(float(score), int(place)) for score, place in zip(*self._nearest(row), strict=True)]
            answers = set(self._answers[self._starts[row] : self._starts[row + 1]].tolist())
            others = [each for each in ranked if each[1] not in answers]
            candidates = [each for each in others if each[1] != self._itself[row]]
            counts = len(ranked), len(ranked) - len(others), len(others) - len(candidates)
            yield Ranked(float(query @ positive), *counts, candidates)


def _places_of_pairs(
    shards: Shards, queries: np.ndarray, documents: Documents, pairs: Table
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each pair's query among `queries`, which are sorted, and the place of its positive: int64."""
    rows, places, missing = [], [], np.empty(0, dtype=np.uint64)
    for file in files_of(pairs):
        for batch in read_batches(file, _IDS):
            query, positive = (keys_of(batch[column].to_list()) for column in _IDS.names)
            row = np.minimum(np.searchsorted(queries, query), len(queries) - 1)
            place = documents.places(positive)
            missing = np.unique(np.concatenate([missing, query[queries[row] != query], positive[place < 0]]))
            rows.append(row)
            places.append(place)
    if len(missing):
        raise AscentError(
            f"{shards.folder}: {len(missing)} texts of the pairs are not in the shards; delete the folder and re-run."
        )
    return np.concatenate(rows), np.concatenate(places)
