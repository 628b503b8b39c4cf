"""Statistics of a corpus or a data set, out of memory: DuckDB counts, and what it hands back grows with the number of
distinct lengths and classes, not with the rows.

Numbers of rows, characters, repetitions and classes are of all rows. Tokens and languages are counted in rows drawn by
their ids, or in all where there are few; then neither the order of rows nor their parts change them."""

import math
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from ..pairs.database import Database, listed
from ..pairs.draws import rank_in_sql
from ..settings.contrastive import LABELLED
from .lengths import Drawn, Unit, columns_of, languages_of, side_of, unit_of
from .sources import Sources

# Rows of a group whose tokens and languages are counted. The share of tokens per character is then within a percent.
DRAWN = 2000
# How many of the most and of the least frequent classes are named; how many labels are counted one by one.
NAMED, _LABELS = 10, 20
# What the group of a document table is called, where one of a pair table has its task type.
DOCUMENTS = "documents"


def describe(name: str, pairs: Sequence[Path], documents: Sequence[Path] = (), model: Path | None = None) -> dict:
    """Return the statistics of a table of pairs, and of a corpus's documents.

    pairs, documents: the files of all parts, in order. model: whose tokenizer counts tokens.

    `groups` has an entry for each split and task of the pairs and each split of the documents: its rows, and by side of
    a pair (query, positive, negative) or for the document the texts' lengths; how often rows and texts are repeated;
    the languages; and classes, labels, negatives and sources where there are any."""
    unit, groups = unit_of(model), []
    with Database(pairs[0].parent) as database:
        _view(database, "pairs", pairs, "task")
        counted = _Counted(database, unit, "pairs", {"query": "query_id", "positive": "positive_id"})
        groups += [counted.of(split, task) for split, task in counted.groups()]
        if documents:
            _view(database, "documents", documents, f"'{DOCUMENTS}' AS task")
            counted = _Counted(database, unit, "documents", {"text": "document_id"})
            groups += [counted.of(split, task) for split, task in counted.groups()]
        rows = "SELECT count(*) FROM read_parquet(?)"
        parts = [database.execute(rows, [str(path)]).fetchone()[0] for path in pairs]
    return {"kind": "statistics", "name": name, "unit": unit.name, "parts": parts, "groups": groups}


def _view(database: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path], task: str) -> None:
    rows = f"read_parquet({listed(files)}, filename = true, file_row_number = true)"
    others = "* EXCLUDE (task), task" if task == "task" else f"*, {task}"
    database.execute(f"CREATE VIEW {name} AS SELECT {others} FROM {rows}")


class _Counted:
    """A view of a table, and what is asked of it.

    sides: the columns of texts, with the columns of their ids."""

    def __init__(self, database: duckdb.DuckDBPyConnection, unit: Unit, view: str, sides: dict[str, str]):
        self.database, self.unit, self.view, self.sides = database, unit, view, sides
        self.is_pairs = view == "pairs"
        self._lengths = self._all_lengths()
        self._repeats = self._all_repeats()
        self._sources = Sources(database, unit, view, sides)

    def groups(self) -> list[tuple[str, str]]:
        """Return the splits and tasks, in order of the splits' use."""
        found = {key[:2] for key in self._lengths}
        order = ("train", "validation", "test")
        return sorted(found, key=lambda group: (order.index(group[0]) if group[0] in order else 3, group[1]))

    def of(self, split: str, task: str) -> dict:
        """Return the statistics of a group."""
        drawn = self._drawn(split, task)
        sides = {}
        for side in (*self.sides, "negative"):
            if lengths := self._lengths.get((split, task, side)):
                sides[side] = side_of(self.unit, lengths, drawn.texts(side), drawn.is_whole)
        rows = sum(number for _, number in self._lengths[split, task, next(iter(self.sides))])
        found = {"split": split, "task": task, "rows": rows}
        found |= {"drawn": len(drawn.rows), "sides": sides, "repeats": self._repeats[split, task]}
        asked = [side for side in self.sides if not (task in LABELLED and side == "positive")]
        found["languages"] = {side: languages_of(drawn.texts(side)) for side in asked}
        if self.is_pairs:
            found |= self._of_pairs(split, task, rows)
        return found | self._sources.of(split, task)

    def _all_lengths(self) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
        """Return how many texts of each number of characters there are, by split, task and side."""
        queries = [
            f"SELECT split, task, '{side}' AS side, length({side}) AS characters, count(*) AS texts FROM {self.view}"
            " GROUP BY ALL"
            for side in self.sides
        ]
        if self.is_pairs:
            negatives = f"SELECT split, task, unnest(negatives) AS text FROM {self.view}"
            queries.append(
                f"SELECT split, task, 'negative' AS side, length(text) AS characters, count(*) AS texts FROM"
                f" ({negatives}) GROUP BY ALL"
            )
        lengths: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for *group, characters, texts in self.database.execute(" UNION ALL ".join(queries)).fetchall():
            lengths.setdefault(tuple(group), []).append((characters, texts))
        return lengths

    def _all_repeats(self) -> dict[tuple[str, str], dict]:
        """Return by split and task, for each text and for the row: how many are distinct, and how often the most
        frequent occurs."""
        keys = {side: (column,) for side, column in self.sides.items()}
        keys |= {"row": tuple(self.sides.values())} if len(self.sides) > 1 else {}
        found: dict[tuple[str, str], dict] = {}
        for what, columns in keys.items():
            each = f"SELECT split, task, count(*) AS often FROM {self.view} GROUP BY split, task, {', '.join(columns)}"
            query = f"SELECT split, task, count(*), max(often) FROM ({each}) GROUP BY split, task"
            for split, task, distinct, most in self.database.execute(query).fetchall():
                found.setdefault((split, task), {})[what] = {"distinct": distinct, "most": most}
        return found

    def _drawn(self, split: str, task: str) -> Drawn:
        query = (
            f"SELECT {columns_of(self.sides, self.is_pairs)} FROM {self.view} WHERE split = ? AND task = ?"
            f" ORDER BY {rank_in_sql(0, *self.sides.values())}, filename, file_row_number LIMIT {DRAWN + 1}"
        )
        rows = pl.from_arrow(self.database.sql(query, params=[split, task]).to_arrow_table())
        return Drawn(rows.head(DRAWN), is_whole=len(rows) <= DRAWN)

    def _of_pairs(self, split: str, task: str, rows: int) -> dict:
        """Return what pairs have besides texts."""
        where, group = f"FROM {self.view} WHERE split = ? AND task = ?", [split, task]
        same, labels, scored = self.database.execute(
            f"SELECT count(*) FILTER (query_id = positive_id), count(label), count(scores) {where}", group
        ).fetchone()
        negatives = self.database.execute(f"SELECT len(negatives), count(*) {where} GROUP BY ALL", group).fetchall()
        found = {
            "languages_named": dict(
                self.database.execute(f"SELECT language, count(*) {where} GROUP BY ALL ORDER BY ALL", group).fetchall()
            ),
            "same_text_twice": same,
            "scored": scored,
            "negatives": {str(count): number for count, number in sorted(negatives)},
        }
        if labels:
            found["labels"] = self._labels(where, group)
        if task in LABELLED:
            found["classes"] = self._classes(where, group, rows)
        return found

    def _labels(self, where: str, group: list[str]) -> dict:
        low, high, mean = self.database.execute(f"SELECT min(label), max(label), avg(label) {where}", group).fetchone()
        graded = f"{where} AND label IS NOT NULL"
        query = f"SELECT label, count(*) {graded} GROUP BY label ORDER BY label LIMIT {_LABELS + 1}"
        counts = self.database.execute(query, group).fetchall()
        width = 0.0
        if len(counts) > _LABELS:
            width = (high - low) / _LABELS
            place = f"least(floor((label - {low!r}) / {width!r}), {_LABELS - 1})"
            query = f"SELECT {low!r} + {place} * {width!r} AS lower, count(*) {graded} GROUP BY lower ORDER BY lower"
            counts = self.database.execute(query, group).fetchall()
        return {"min": low, "max": high, "mean": mean, "width": width, "counts": [list(each) for each in counts]}

    def _classes(self, where: str, group: list[str], rows: int) -> dict:
        """Return how the rows are spread over classes. evenness: their entropy, as a share of that of equal classes."""
        each = f"SELECT min(positive) AS class, count(*) AS texts {where} GROUP BY positive_id"
        number, most, least, entropy = self.database.execute(
            f"SELECT count(*), max(texts), min(texts), -sum(texts / {rows} * ln(texts / {rows})) FROM ({each})", group
        ).fetchone()
        ordered = "SELECT class, texts FROM ({}) ORDER BY texts {}, class {} LIMIT {}"
        frequent = self.database.execute(ordered.format(each, "DESC", "", NAMED), group).fetchall()
        rest = max(0, min(NAMED, number - NAMED))
        rare = self.database.execute(ordered.format(each, "", "DESC", rest), group).fetchall()
        return {
            "number": number,
            "most": most,
            "least": least,
            "evenness": entropy / math.log(number) if number > 1 else 1.0,
            "frequent": [list(one) for one in frequent],
            "rare": [list(one) for one in reversed(rare)],
        }
