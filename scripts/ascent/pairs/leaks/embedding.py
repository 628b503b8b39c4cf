"""Texts that mean about the same, by the cosine similarity of their embeddings: exact, a block of texts at a time."""

from collections.abc import Callable, Iterable
from tempfile import TemporaryFile

import numpy as np
import polars as pl

from ...settings.leaks import Embedding
from ..tested import TestedTexts

# Returns the embeddings of texts, float32 (texts, dimension).
Encode = Callable[[list[str]], np.ndarray]
# Training texts and tested texts whose similarities are in memory together: 256 MB.
_TRAINING, _TESTED = 4_096, 16_384
# What every method returns: the place of a training text, the number of a tested text, and the score.
FOUND = {"training": pl.UInt32, "number": pl.UInt32, "score": pl.Float64}


class EmbeddingIndex:
    """The embeddings of tested texts in a temporary file, each once; and the texts that are similar to one."""

    def __init__(self, settings: Embedding, tested: TestedTexts, batches: Iterable[int], encode: Encode) -> None:
        """Embed these batches of the tested texts."""
        self._settings, self._encode = settings, encode
        self._file = TemporaryFile()  # noqa: SIM115, closed by __exit__
        numbers, starts = [np.empty(0, dtype=np.int64)], tested.starts
        for batch in batches:
            embeddings = self._directions(pl.from_arrow(tested.batches[batch])["text"])
            self._file.write(embeddings.tobytes())
            self._dimension = embeddings.shape[1]
            numbers.append(np.arange(starts[batch], starts[batch + 1]))
        self._file.flush()
        self._numbers = np.concatenate(numbers)

    def __enter__(self) -> "EmbeddingIndex":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def matches(self, texts: pl.Series) -> pl.DataFrame:
        """Return the pairs of a text and a tested text that are similar: `training` (place in `texts`), `number` (of
        the tested text) and `score`, the cosine, sorted."""
        found = [pl.DataFrame(schema=FOUND)]
        for start in range(0, len(texts), _TRAINING) if len(self._numbers) else ():
            own = self._directions(texts[start : start + _TRAINING])
            for first in range(0, len(self._numbers), _TESTED):
                similarity = own @ self._read(first, first + _TESTED).T
                rows, columns = np.nonzero(similarity >= self._settings.threshold)
                scores = np.minimum(similarity[rows, columns], 1).astype(np.float64)
                columns = (rows + start, self._numbers[columns + first], scores)
                found.append(pl.DataFrame(dict(zip(FOUND, columns, strict=True)), schema=FOUND))
        return pl.concat(found).sort("training", "number")

    def _directions(self, texts: pl.Series) -> np.ndarray:
        """Return embeddings of length 1, or 0 where they are 0."""
        embeddings = np.asarray(self._encode(texts.to_list()), dtype=np.float32)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)

    def _read(self, start: int, end: int) -> np.ndarray:
        """Return the embeddings of some tested texts, by their places in the file."""
        count = min(end, len(self._numbers)) - start
        self._file.seek(start * self._dimension * 4)
        bytes_read = self._file.read(count * self._dimension * 4)
        return np.frombuffer(bytes_read, dtype=np.float32).reshape(count, self._dimension)
