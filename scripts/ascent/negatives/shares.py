"""The texts that a shard embeds: distinct, sorted by id, and never all in memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..pairs.database import Database, listed, numbered
from ..pairs.parquet import Table, files_of, writing
from ..pairs.prompts import COLUMNS, with_prompts
from ..pairs.table import all_batches
from ..settings.model import Tokenising
from ..settings.prompts import Side

# What the texts of each side are called in the shards, and their columns in a pair table.
SIDES: dict[str, tuple[Side, str, str]] = {
    "queries": ("query", "query_id", "query"),
    "documents": ("document", "positive_id", "positive"),
}
SHARE_SCHEMA = pa.schema({"place": pa.int64(), "id": pa.string(), "text": pa.string(), "prompt": pa.string()})


@dataclass(frozen=True)
class Share:
    """A shard's texts of one side in a file, each with its prompt and its place among them."""

    file: Path
    rows: int

    def batches(self, most: int) -> Iterator[pl.DataFrame]:
        """Yield id, text and prompt, sorted by id, `most` at a time; one empty batch if there are no texts."""
        waiting, columns = [], ["id", "text", "prompt"]
        with Database(self.file.parent) as connection:
            ordered = connection.sql(f"SELECT * FROM read_parquet({listed([self.file])}) ORDER BY place")
            for batch in ordered.to_arrow_reader(min(most, 10_000)):
                waiting.append(pl.from_arrow(batch).select(columns))
                if sum(map(len, waiting)) >= most:
                    together = pl.concat(waiting)
                    yield together[:most]
                    waiting = [together[most:]]
        if not self.rows or sum(map(len, waiting)):
            yield pl.concat([pl.DataFrame(schema=dict.fromkeys(columns, pl.String)), *waiting])


def write_shares(
    pairs: Table, settings: Tokenising, index: int, count: int, folder: Path
) -> tuple[dict[str, Share], dict[Side, int]]:
    """Write both sides' texts of shard `index` of `count` into a folder: the index-th of `count` equal parts of the
    distinct texts, sorted by id, each with the prompt of the first row that has it.

    Return them, and for the first shard how many texts of each side, in all shards, have several prompts."""
    files = {name: folder / f"{name}.parquet" for name in SIDES}
    first = {name: _first_rows(pairs, id_column, index, count, folder) for name, (_, id_column, _) in SIDES.items()}
    prompted: dict[str, np.ndarray] = {name: np.empty(0, dtype=np.uint64) for name in SIDES}
    draw, start = np.random.default_rng(settings.seed), 0
    with ExitStack() as stack:
        add = {name: stack.enter_context(writing(file, SHARE_SCHEMA)) for name, file in files.items()}
        for batch in all_batches(pairs):
            batch = with_prompts(batch, settings, draw)
            for name, (side, id_column, text_column) in SIDES.items():
                rows, places = first[name]
                own = slice(*np.searchsorted(rows, [start, start + len(batch)]))
                columns = {"id": id_column, "text": text_column, "prompt": COLUMNS[side]}
                texts = batch[rows[own] - start].select(**{new: pl.col(old) for new, old in columns.items()})
                add[name](texts.with_columns(place=pl.Series(places[own])))
                if index == 0:
                    hashes = batch.select(id_column, COLUMNS[side]).hash_rows().to_numpy()
                    prompted[name] = np.union1d(prompted[name], hashes)
            start += len(batch)
    several = {
        side: len(prompted[name]) - _distinct(pairs, id_column, folder)
        for name, (side, id_column, _) in SIDES.items()
        if index == 0
    }
    return {name: Share(files[name], len(first[name][0])) for name in SIDES}, several


def _first_rows(pairs: Table, column: str, index: int, count: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, from 0 over all files and ascending, where the ids of a share occur first, and each id's place
    in the share: int64, int64."""
    texts = (
        "SELECT min(row) AS first, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS texts"
        f" FROM ({numbered(files_of(pairs), f'{column} AS id')}) GROUP BY id"
    )
    begin, end = (f"(texts * {i} // {count})" for i in (index, index + 1))
    share = f"SELECT first, place - {begin} AS place FROM ({texts}) WHERE place >= {begin} AND place < {end}"
    with Database(folder) as connection:
        found = connection.sql(f"{share} ORDER BY first").fetchnumpy()
    return np.asarray(found["first"], dtype=np.int64), np.asarray(found["place"], dtype=np.int64)


def _distinct(pairs: Table, column: str, folder: Path) -> int:
    with Database(folder) as connection:
        ids = f"SELECT DISTINCT {column} FROM read_parquet({listed(files_of(pairs))})"
        return connection.sql(f"SELECT count(*) FROM ({ids})").fetchall()[0][0]
