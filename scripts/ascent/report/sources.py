"""Statistics of the sources of a table's rows, out of memory as those of the table (statistics.py).

The source of a row is the site of its origin, if that is a web address; else the file, if it ends in the number of a
row or line there; else the origin itself, whole documents where passages were cut out of them."""

from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl

from ..pairs.draws import rank_in_sql
from ..pairs.earlier import COUNTED
from ..pairs.table import PASSAGE
from .lengths import Drawn, Unit, columns_of, languages_of, side_of

# How many sources of a group are named, the largest; the others are counted together.
NAMED = 10
# Rows of a source whose tokens and languages are counted.
DRAWN = 200
SOURCE = f"coalesce({COUNTED['host']}, regexp_replace(regexp_replace(origin, '{PASSAGE}', ''), ':\\d+$', ''))"
# The places of the other sources, and of rows without an origin, behind those of the named.
_OTHERS, _UNKNOWN = NAMED + 1, NAMED + 2

# Of a split and task by place.
ByPlace = dict[tuple[str, str], dict[int, Any]]


class Sources:
    """The sources of a view's rows.

    sides: the columns of texts, with the columns of their ids, as statistics.py has them."""

    def __init__(self, database: duckdb.DuckDBPyConnection, unit: Unit, view: str, sides: dict[str, str]):
        self.database, self.unit, self.view, self.sides = database, unit, view, sides
        self.is_pairs = view == "pairs"
        self._numbers: dict[tuple[str, str], int] = {}
        ((known,),) = database.execute(f"SELECT count(origin) FROM {view}").fetchall()
        if known:
            self._place()
            self._lengths, self._rows = self._all_lengths(), self._all_rows()
            self._labels = [self._all_classes(), self._all_labels()] if self.is_pairs else []

    def of(self, split: str, task: str) -> dict:
        """Return the statistics of a group's sources: how many there are, and the largest with what is said of the
        whole group, then the others together, then the rows without an origin. Nothing if no row has one."""
        if (split, task) not in self._numbers:
            return {}
        number, names = self._numbers[split, task], self._names[split, task]
        drawn, found = self._drawn(split, task), []
        for place, counted in sorted(self._rows[split, task].items()):
            kind = {_OTHERS: "others", _UNKNOWN: "unknown"}.get(place, "named")
            rows = drawn.filter(pl.col("place") == place)
            texts = Drawn(rows, is_whole=len(rows) == counted["rows"])
            lengths = self._lengths[split, task][place]
            sides = {
                side: side_of(self.unit, lengths[side], texts.texts(side), texts.is_whole)
                for side in (*self.sides, "negative")
                if side in lengths
            }
            for side in sides.values():
                del side["characters"]["histogram"]
            found.append({"kind": kind, "name": names.get(place), **counted, "drawn": len(rows), "sides": sides})
            found[-1] |= {"languages": languages_of(texts.texts(next(iter(self.sides))))}
            for labels in self._labels:
                found[-1] |= labels.get((split, task), {}).get(place, {})
        return {"sources": {"number": number, "named": found}}

    def _place(self) -> None:
        """Make a view of the rows with the place of each one's source."""
        by = f"SELECT split, task, {SOURCE} AS source, count(*) AS size FROM {self.view} WHERE origin IS NOT NULL"
        self.database.execute(f"CREATE TEMP TABLE sizes_of_{self.view} AS {by} GROUP BY ALL")
        place = "row_number() OVER (PARTITION BY split, task ORDER BY size DESC, source)"
        self.database.execute(
            f"CREATE TEMP TABLE largest_of_{self.view} AS SELECT split, task, source, {place} AS place"
            f" FROM sizes_of_{self.view} QUALIFY place <= {NAMED}"
        )
        numbers = f"SELECT split, task, count(*) FROM sizes_of_{self.view} GROUP BY ALL"
        self._numbers = {(split, task): number for split, task, number in self.database.execute(numbers).fetchall()}
        self._names = self._by_place(
            f"SELECT split, task, place, source FROM largest_of_{self.view}", lambda name: name
        )
        self.database.execute(f"DROP TABLE sizes_of_{self.view}")
        otherwise = f"CASE WHEN origin IS NULL THEN {_UNKNOWN} ELSE {_OTHERS} END"
        self.database.execute(
            f"CREATE VIEW placed_{self.view} AS SELECT own.*, coalesce(place, {otherwise}) AS place"
            f" FROM {self.view} AS own LEFT JOIN largest_of_{self.view} AS largest"
            f" ON own.split = largest.split AND own.task = largest.task AND {SOURCE} = largest.source"
        )

    def _by_place(self, query: str, made: Callable[..., Any]) -> ByPlace:
        """Return what is made of the columns behind split, task and place."""
        found: ByPlace = {}
        for split, task, place, *cells in self.database.execute(query).fetchall():
            found.setdefault((split, task), {})[place] = made(*cells)
        return found

    def _all_lengths(self) -> dict[tuple[str, str], dict[int, dict[str, list[tuple[int, int]]]]]:
        """Return by side how many texts of each number of characters there are."""
        # In one pass, since each places all rows again.
        lengths = ", ".join(f"{{'side': '{side}', 'characters': length({side})}}" for side in self.sides)
        if self.is_pairs:
            negatives = "list_transform(negatives, lambda text: {'side': 'negative', 'characters': length(text)})"
            lengths = f"list_concat([{lengths}], {negatives})"
        else:
            lengths = f"[{lengths}]"
        each = f"SELECT split, task, place, unnest({lengths}) AS text FROM placed_{self.view}"
        query = f"SELECT split, task, place, text.side, text.characters, count(*) FROM ({each}) GROUP BY ALL"
        found: dict = {}
        for split, task, place, side, *length in self.database.execute(query).fetchall():
            found.setdefault((split, task), {}).setdefault(place, {}).setdefault(side, []).append(tuple(length))
        return found

    def _all_rows(self) -> ByPlace:
        """Return how many rows there are, and how many are distinct."""
        each = f"split, task, place, {', '.join(self.sides.values())}"
        query = f"SELECT {each}, count(*) AS often FROM placed_{self.view} GROUP BY ALL"
        return self._by_place(
            f"SELECT split, task, place, sum(often)::BIGINT, count(*) FROM ({query}) GROUP BY split, task, place",
            lambda rows, distinct: {"rows": rows, "distinct": distinct},
        )

    def _all_classes(self) -> ByPlace:
        """Return how many classes there are, and which is the most frequent."""
        each = "split, task, place, positive_id"
        counted = f"SELECT {each}, min(positive) AS class, count(*) AS texts FROM placed_pairs"
        counted += f" WHERE task = 'classification' GROUP BY {each}"
        return self._by_place(
            "SELECT split, task, place, count(*), max(texts), min_by(class, (-texts, class))"
            f" FROM ({counted}) GROUP BY split, task, place",
            lambda number, most, name: {"classes": {"number": number, "most": most, "frequent": name}},
        )

    def _all_labels(self) -> ByPlace:
        """Return the mean of the labels."""
        labelled = "SELECT split, task, place, avg(label) FROM placed_pairs WHERE label IS NOT NULL GROUP BY ALL"
        return self._by_place(labelled, lambda mean: {"label": mean})

    def _drawn(self, split: str, task: str) -> pl.DataFrame:
        """Return the drawn rows of each source, with its place, in the order of the draw."""
        # Without the texts, of which only those of the drawn rows are then read.
        row = f"{rank_in_sql(0, *self.sides.values())} || filename || printf('%015d', file_row_number)"
        chosen = (
            f"SELECT place, unnest(arg_min((filename, file_row_number, {row}), {row}, {DRAWN})) AS chosen"
            f" FROM placed_{self.view} WHERE split = ? AND task = ? GROUP BY place"
        )
        query = (
            f"SELECT place, {columns_of(self.sides, self.is_pairs)} FROM {self.view} AS own"
            f" JOIN ({chosen}) AS drawn ON own.filename = chosen[1] AND own.file_row_number = chosen[2]"
            " ORDER BY place, chosen[3]"
        )
        return pl.from_arrow(self.database.sql(query, params=[split, task]).to_arrow_table())
