"""The ledger: which rows of each data set have a text of which evaluated task, by each method.

Of the evaluated tasks, hashes are in memory; training pairs are read in batches, once per method, or more often where
the tasks' hashes do not fit. Of what matched, row numbers are kept."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError, warn
from ..files import write_atomically
from ..settings.base import components
from ..settings.leaks import Leak, Leaks
from .earlier import count_rows
from .leak_index import KEYS, indices
from .leakage import evaluation_texts, label_texts, texts_of_rows
from .leaks.embedding import Encode
from .parquet import Table as Files
from .parquet import files_of, read_batches
from .table import DOCUMENT_SCHEMA, SCHEMA, count_pairs
from .tested import Table, TestedTexts

EXAMPLES = 5
_EXAMPLE_CHARACTERS = 300
_TOLD = 3
_ROWS, _TEXTS = 5_000, 50_000


class Example(NamedTuple):
    """A training text and the test text that it matches."""

    training: str
    test: str
    score: float


@dataclass
class Entry:
    """How many rows of a data set match texts of a kind of an evaluated task by a method, and what is done about
    them."""

    dataset: str
    task: str
    texts: str
    method: str
    action: str
    rows: int
    tested: int
    """How many of the task's texts were found."""
    of_tested: int
    examples: list[Example]
    pool: bool = False
    """Whether it is about the documents of a corpus, named by `dataset`, that negatives are mined among."""


@dataclass(frozen=True)
class Training:
    """Texts that a stage may train on: of a data set, or of a corpus that negatives are mined among."""

    name: str
    files: list[Path]
    pool: bool = False
    splits: tuple[str, ...] = ()
    """The splits of a pool's documents."""

    def texts(self) -> Iterator[pl.DataFrame]:
        """Yield its distinct texts, with their rows."""
        return documents_of(self.files, self.splits) if self.pool else training_texts(self.files)

    def rows(self) -> int:
        """Return how many pairs or documents there are."""
        if not self.pool:
            return count_pairs(self.files)
        return sum(count_rows(self.files, split=split) for split in self.splits)


@dataclass
class _Matched:
    rows: list[np.ndarray] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def tables_of(
    name: str, pairs: Files, documents: Files | None, splits: Sequence[str]
) -> Iterator[tuple[Table, Iterator[pl.Series]]]:
    """Yield what is tested by these splits of a corpus, or by a task: queries and the like, labels, documents."""
    for kind, texts_of in (("test", evaluation_texts), ("labels", label_texts)):
        yield Table(name, kind), _distinct(pairs, texts_of, splits)
    if documents is not None:
        yield pool_of(name, documents, splits)


def pool_of(name: str, documents: Files, splits: Sequence[str]) -> tuple[Table, Iterator[pl.Series]]:
    """Return what is searched of these splits of a corpus, or in a task."""
    return Table(name, "documents"), (frame["text"] for frame in documents_of(documents, splits))


def _distinct(pairs: Files, texts_of, splits: Sequence[str]) -> Iterator[pl.Series]:
    seen: set[int] = set()
    for frame in _stream(pairs, SCHEMA, ["query", "positive", "task", "split"], _TEXTS):
        for split in splits:
            texts = texts_of(frame, split)
            hashes = texts.hash().to_list()
            yield texts.filter(pl.Series([hash not in seen for hash in hashes], dtype=pl.Boolean))
            seen.update(hashes)


def _stream(table: Files, schema: pa.Schema, columns: list[str], rows: int) -> Iterator[pl.DataFrame]:
    """Yield columns of a table's files, in batches."""
    for file in files_of(table):
        yield from read_batches(file, pa.schema([schema.field(column) for column in columns]), rows=rows)


def named_tables(files: Sequence[Path]) -> list[tuple[str, list[Path]]]:
    """Return pair tables by the name of their data set, corpus or task: files of one name that follow each other are
    the parts of one table. So is a part without rows: of the table before it or, before the first, of that. Raises
    AscentError if no file has rows."""
    tables: list[tuple[str, list[Path]]] = []
    empty: list[Path] = []
    for file in files:
        first = next((frame for frame in _stream(file, SCHEMA, ["dataset"], 1)), None)
        name = first["dataset"][0] if first is not None else tables[-1][0] if tables else None
        if name is None:
            empty.append(file)
        elif tables and tables[-1][0] == name:
            tables[-1][1].append(file)
        else:
            tables.append((name, [*empty, file]))
            empty = []
    if empty:
        raise AscentError(f"{empty[0]}: has no rows; check the step that made it, by the audit-*.json beside it.")
    return tables


def trained_on(pairs: Sequence[Path]) -> list[Training]:
    """Return the data sets of pair tables, see named_tables. Raises AscentError if one of several parts, which have a
    folder of their own, has no rows in any."""
    for folder, files in groupby(pairs, lambda file: file.parent):
        if not any(map(count_pairs, files)):
            raise AscentError(
                f"{folder}: no part has a row; its audit-*.json say which filter dropped them: loosen it, or fix the"
                " corpus."
            )
    return [Training(name, files) for name, files in named_tables(pairs)]


def training_texts(pairs: Files) -> Iterator[pl.DataFrame]:
    """Yield the distinct texts of the rows that a stage may train on, with their rows."""
    before = 0
    for frame in _stream(pairs, SCHEMA, ["query", "positive", "negatives"], _ROWS):
        texts = texts_of_rows(frame.with_row_index("row", offset=before)).select("row", "text")
        before += len(frame)
        yield from texts.unique(maintain_order=True).iter_slices(_TEXTS)


def documents_of(documents: Files, splits: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the documents of these splits of a corpus, `text`, with their `row`."""
    before = 0
    for frame in _stream(documents, DOCUMENT_SCHEMA, ["text", "split"], _TEXTS):
        rows = frame.with_row_index("row", offset=before).filter(pl.col("split").is_in(list(splits)))
        before += len(frame)
        yield rows.select("row", "text")


def make_ledger(
    training: Sequence[Training], tested: TestedTexts, leaks: Leaks, most: int = KEYS, encode: Encode | None = None
) -> list[Entry]:
    """Compare the texts that stages may train on with tested texts.

    most: the keys in memory at a time. encode: embeds texts, for the method `embedding`.

    A method that finds what must not be is the last: then the ledger ends with it.
    """
    entries = []
    for name in type(leaks).model_fields:
        settings = getattr(leaks, name)
        entries += _by_method(settings, training, tested, most, encode)
        if forbidden(entries):
            break
    return entries


def forbidden(entries: Sequence[Entry]) -> list[Entry]:
    """Return what stops a run. What `drop` leaves is among it, since filters should have removed it; of documents that
    are mined it is left out when they are embedded."""
    return [entry for entry in entries if entry.action == "stop" or (entry.action == "drop" and not entry.pool)]


def refuse(entries: Sequence[Entry]) -> None:
    """Raise AscentError, which names the first text, if there is an entry that stops a run."""
    for entry in forbidden(entries):
        example = entry.examples[0]
        methods = "" if entry.method == "hash" else f", with methods: {{{entry.method}: {{}}}}"
        fix = f"add {entry.task} to `against` of the data set's filter contamination{methods}"
        if components(Leak)[entry.method].by_model:
            fix = f"remove them from its corpus, or set leaks.{entry.method}.test to report"
        if entry.texts != "test":
            fix = f"remove them from its corpus, or set leaks.{entry.method}.documents to report"
        if entry.pool and entry.texts == "test":
            fix = f"set leaks.{entry.method}.test to drop, which leaves them out of what is mined"
        whose = f"data set {entry.dataset}: {entry.rows} of its rows"
        if entry.pool:
            whose = f"corpus {entry.dataset}: {entry.rows} of its documents, which negatives are mined among,"
        what = {"test": "test texts", "documents": "documents", "labels": "texts of labels"}[entry.texts]
        raise AscentError(
            f"{whose} have {what} of {entry.task} ({entry.method}), first "
            f"'{example.training[:200]}' ('{example.test[:200]}'); {fix}."
        )


def report(entries: Sequence[Entry], path: Path) -> None:
    """Tell the user with how many rows of test texts a run continues. path: where examples are."""
    left = [entry for entry in entries if entry.texts == "test" and entry.action == "report"]
    found = sorted(left, key=lambda entry: -entry.rows)
    if found:
        first = [f"{entry.rows} of {entry.dataset} with {entry.task} ({entry.method})" for entry in found[:_TOLD]]
        more = f", and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        warn(
            f"training rows share test texts: {'; '.join(first)}{more}; read the examples in {path}, and set the"
            " method's `test` in the recipe's `leaks` to drop if they are test texts."
        )


def _by_method(
    settings: Leak, training: Sequence[Training], tested: TestedTexts, most: int, encode: Encode | None
) -> list[Entry]:
    actions = {"test": settings.test, "labels": settings.documents, "documents": settings.documents}
    batches = [place for place, table in enumerate(tested.tables) if actions[table.kind] != "ignore"]
    tables = list(dict.fromkeys(tested.tables))
    of_batch = np.array([tables.index(table) for table in tested.tables], dtype=np.uint32)
    matched: dict[tuple[int, int], _Matched] = {}
    for index in indices(settings, tested, batches, most, encode) if batches else ():
        for dataset, trained in enumerate(training):
            for frame in trained.texts():
                texts = frame["text"].unique(maintain_order=True)
                found = index.matches(texts)
                if found.is_empty():
                    continue
                table = of_batch[np.searchsorted(tested.starts, found["number"].to_numpy(), side="right") - 1]
                places = pl.DataFrame({"text": texts}).with_row_index("training")
                found = (
                    found.with_columns(table=table)
                    .join(places, "training")
                    .join(frame, "text")
                    .sort("row", "number", "text")
                )
                for (table,), rows in found.group_by("table"):
                    _keep(matched.setdefault((dataset, table), _Matched()), rows, tested)
    sizes = np.zeros(len(tables), dtype=int)
    np.add.at(sizes, of_batch, np.diff(tested.starts))
    return [
        Entry(
            dataset=training[dataset].name,
            task=tables[table].name,
            texts=tables[table].kind,
            method=settings.component(),
            action=actions[tables[table].kind],
            rows=len(np.unique(np.concatenate(kept.rows))),
            tested=len(np.unique(np.concatenate(kept.numbers))),
            of_tested=int(sizes[table]),
            examples=kept.examples,
            pool=training[dataset].pool,
        )
        for (dataset, table), kept in sorted(matched.items())
    ]


def _keep(matched: _Matched, rows: pl.DataFrame, tested: TestedTexts) -> None:
    matched.rows.append(rows["row"].unique().to_numpy())
    matched.numbers.append(rows["number"].unique().to_numpy())
    best = rows.sort("row", "score", "number", descending=[False, True, False]).unique(
        "text", keep="first", maintain_order=True
    )
    best = best.head(EXAMPLES - len(matched.examples))
    for text, test, score in zip(
        best["text"], tested.of(best["number"].to_numpy().astype(np.int64)), best["score"], strict=True
    ):
        matched.examples.append(Example(text[:_EXAMPLE_CHARACTERS], test[:_EXAMPLE_CHARACTERS], round(score, 4)))


def as_rows(entries: Sequence[Entry]) -> list[dict]:
    """Return the ledger as JSON has it."""
    return [asdict(entry) | {"examples": [example._asdict() for example in entry.examples]} for entry in entries]


def sizes_of(training: Sequence[Training], tested: TestedTexts) -> dict[str, dict]:
    """Return how many pairs, mined documents and tested texts are compared: `training`, `pools` if there are any, and
    `evaluation`, by name."""
    sizes = {"training": {each.name: {"pairs": each.rows()} for each in training if not each.pool}}
    if pools := {each.name: {"documents": each.rows()} for each in training if each.pool}:
        sizes["pools"] = pools
    evaluation: dict[str, dict[str, int]] = {}
    for table, size in zip(tested.tables, np.diff(tested.starts).tolist(), strict=True):
        kind = "texts" if table.kind == "test" else table.kind
        counts = evaluation.setdefault(table.name, {"texts": 0})
        counts[kind] = counts.get(kind, 0) + size
    return sizes | {"evaluation": evaluation}


def write_ledger(path: Path, entries: Sequence[Entry]) -> None:
    """Write the ledger as a table, one line per entry, its examples as JSON."""
    columns = [column.name for column in fields(Entry)]
    rows = [row | {"examples": json.dumps(row["examples"], ensure_ascii=False)} for row in as_rows(entries)]
    with write_atomically(path) as temporary:
        pl.DataFrame(rows, schema=columns, orient="row").write_csv(temporary, separator="\t")
