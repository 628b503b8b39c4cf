"""What a teacher reads: the documents of rows, each with its query; of those that are equal, one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ..negatives.rows import TrainingRows
from ..pairs.arrays import blocks
from ..pairs.distinct import new_texts, number_texts, writing_keys


def candidates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the query with each of its row's documents, the positive first, one row after another."""
    return rows.select("query", document=pl.concat_list("positive", "negatives")).explode("document")


class Distinct:
    """The distinct texts, or pairs of texts, among the candidates of rows, out of memory.

    columns: query, document or both. scratch: for files that this makes. places: of each candidate's text or pair among
    the distinct ones in order of first occurrence, int64 (candidates,), mapped. count: how many are distinct."""

    def __init__(self, rows: TrainingRows, columns: Sequence[str], scratch: Path):
        self._rows, self._columns, keys = rows, columns, scratch / f"{'-'.join(columns)}.parquet"
        with writing_keys(keys) as add:
            for batch in rows.checked():
                texts = candidates(batch).select(columns).iter_rows()
                add("".join(f"{len(text)} {text}" for text in row) for row in texts)
        self.places = number_texts([keys], scratch)
        self.count = 1 + max(int(self.places[block].max()) for block in blocks(len(self.places)))

    def chunks(self, most: int) -> Iterator[pl.DataFrame]:
        """Yield the distinct ones, `most` at a time."""
        begin = found = given = 0
        waiting = []
        for batch in self._rows.batches("query", "positive", "negatives"):
            texts = candidates(batch).select(self._columns)
            new = new_texts(self.places[begin : begin + len(texts)], found)
            waiting.append(texts.filter(pl.Series(new)))
            begin, found = begin + len(texts), found + int(new.sum())
            while found - given >= most or (found == self.count > given):
                together = pl.concat(waiting)
                chunk, waiting = together[:most], [together[most:]]
                yield chunk
                given += len(chunk)
