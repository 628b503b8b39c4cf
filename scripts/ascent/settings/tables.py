"""Readers of tables, whose rows are pairs already."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from pydantic import model_validator

from .base import Component, Settings, Split
from .evaluation import TWO_SIDED, TaskType

# Tables by suffix, each optionally compressed.
FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".tar")
COMPRESSED = {"gzip": ".gz", "zstd": ".zst", "bzip2": ".bz2", "lz4": ".lz4"}


def format_of(path: PurePath) -> str:
    """Return what a file's name says of its format: the last suffix that is none of compression, or the empty
    string."""
    return next((suffix for suffix in reversed(path.suffixes) if suffix not in COMPRESSED.values()), "")


def root_of(column: str) -> str:
    """Return the column that a path begins at: `passages` for `passages[].text`."""
    return re.split(r"\[\d*\]|\.", column)[0]


@dataclass(frozen=True)
class Reads:
    """Files that a reader reads, as far as they can be checked before the first job."""

    key: str
    """The reader's setting that names them: `pairs.train`."""
    patterns: list[str]
    """Glob patterns within the resource."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns that the first row must have, each with the reader's setting that names it, or nothing if its form fixes
    it."""
    plain: bool = False
    """Whether files without a table's suffix are plain text, and not of an unknown format."""


class Reader(Component):
    """What every reader has."""

    folder = "corpora.readers"

    def reads(self) -> Iterator[Reads]:
        """Yield the files that it reads. Default: unknown."""
        yield from ()

    def splits(self) -> list[str] | None:
        """Return the splits that its pairs are of. Default: unknown."""

    def document_splits(self) -> list[str] | None:
        """Return the splits that have documents, which positives are, too. Default: unknown."""

    def task_type(self) -> str | None:
        """Return the task type of all its rows. Default: unknown, or several."""

    def prompted(self) -> list[str]:
        """Return the sides whose texts may have prompts of their own. Default: none."""
        return []

    def tells_origins(self) -> bool:
        """Return whether its rows or documents may have an origin. Default: yes, or unknown."""
        return True

    def gives_negatives(self) -> bool:
        """Return whether its rows may have negatives. Default: yes, or unknown."""
        return True


class PairTables(Reader):
    """What readers have whose rows are pairs already."""

    abstract = True

    type: str  # named here so that it comes first
    """The reader."""
    pairs: dict[Split, list[str]]
    """Files of pairs per split: glob patterns within the resource."""

    def splits(self) -> list[str]:
        """Return the splits with files of pairs."""
        return list(self.pairs)

    def document_splits(self) -> list[str]:
        """Return the splits with files of pairs."""
        return self.splits()


class Columns(Settings):
    """Which column holds what. A column is a name, or a path into objects, with `[]` for a list and `[0]` for
    the first of one: `passages[].text`, `texts[0]`."""

    query: str = "query"
    """The query; in classification rows the text."""
    positive: str = "positive"
    """The positive, or a list of positives, which makes one pair per positive; in classification rows the label."""
    negatives: list[str] = []
    """Columns of negatives. Each cell is a text or a list of texts, and may be empty."""
    label: str | None = None
    """The human score of a graded pair."""
    labels: dict[str, float] = {}
    """Numbers for labels that are words: {entailment: 0, neutral: 1, contradiction: 2}."""
    positive_scores: str | None = None
    """A teacher's score of the positive, or a list with one score per positive, for stages with
    `teacher: {type: stored}`."""
    negative_scores: list[str] = []
    """Columns of the teacher's scores of the negatives, one per column of `negatives`. A cell has one number per
    text."""
    query_prompt: str | None = None
    """The column of each query's own prompt, or instruction, in place of the data set's; a cell may be empty."""
    document_prompt: str | None = None
    """The column of the prompt of each row's positive and negatives."""
    origin: str | None = None
    """The column of where each row comes from: an address, a data set, a document, a subject. The filter `cap` and
    `repeat` count by it. A cell may be empty."""

    @model_validator(mode="after")
    def _all_documents_are_scored(self):
        wanted = len(self.negatives) if self.positive_scores else 0
        if (self.positive_scores and not wanted) or len(self.negative_scores) != wanted:
            raise ValueError(
                "a teacher's scores are those of the positive and of all negatives; name positive_scores, and one"
                " column in negative_scores per column of negatives"
            )
        return self


class Table(PairTables):
    """Tables: jsonl, json, csv, tsv, parquet and arrow, each optionally gz or zst, and tars of these. The reader if
    `type` is omitted."""

    type: Literal["table"] = "table"
    """The reader."""
    columns: Columns = Columns()
    """Which column holds what."""
    task: TaskType = "retrieval"
    """The task type of the rows."""
    documents: dict[Split, list[str]] = {}
    """Files of documents per split that its queries are searched in, besides the positives."""
    document_column: str = "text"
    """The column of a document's text."""

    def reads(self) -> Iterator[Reads]:
        """Yield the files of pairs, then those of documents."""
        columns = {self.columns.query: "columns.query", self.columns.positive: "columns.positive"}
        yield from (Reads(f"pairs.{split}", patterns, columns) for split, patterns in self.pairs.items())
        column = {self.document_column: "document_column"}
        yield from (Reads(f"documents.{split}", patterns, column) for split, patterns in self.documents.items())

    def document_splits(self) -> list[str]:
        """Return the splits with files of pairs or of documents."""
        return [*{**self.pairs, **self.documents}]

    def task_type(self) -> str:
        """Return `task`."""
        return self.task

    def gives_negatives(self) -> bool:
        """Return whether there are columns of them."""
        return bool(self.columns.negatives)

    def prompted(self) -> list[str]:
        """Return the sides with a column of prompts."""
        columns = {"query": self.columns.query_prompt, "document": self.columns.document_prompt}
        return [side for side, column in columns.items() if column]

    def tells_origins(self) -> bool:
        """Return whether there is a column of them."""
        return self.columns.origin is not None

    @model_validator(mode="after")
    def _prompts_are_used(self):
        if self.columns.document_prompt and self.task in TWO_SIDED:
            why = f"as both texts of a row of {self.task} get columns.query_prompt"
            raise ValueError(f"columns.document_prompt is never used, {why}: remove it")
        return self


class FlagEmbedding(PairTables):
    """FlagEmbedding's tables: `query`, lists `pos` and `neg`, and where a row has them `pos_scores` and `neg_scores` (a
    teacher's), `prompt` (the query's) and `type`."""

    type: Literal["flag_embedding"]
    """The reader."""
    task: TaskType = "retrieval"
    """The task type of rows without `type`, or with `normal` or `only_1neg`. `symmetric_sts` is sts, `symmetric_class`
    classification and `symmetric_clustering` clustering."""

    def reads(self) -> Iterator[Reads]:
        """Yield the files of pairs."""
        yield from (
            Reads(f"pairs.{split}", patterns, {"query": "", "pos": ""}) for split, patterns in self.pairs.items()
        )

    def prompted(self) -> list[str]:
        """Return the query's side."""
        return ["query"]

    def tells_origins(self) -> bool:
        """Return no: the form has none."""
        return False


class SentenceTransformers(PairTables):
    """Data sets of sentence-transformers' trainer, of which the order of the columns says what they are: query
    (anchor), positive, negatives. A column called label, labels, score or scores is the label."""

    type: Literal["sentence_transformers"]
    """The reader."""
    pairs: dict[Split, list[str]]
    """Files of pairs per split: glob patterns within the resource, `train/*.arrow` of what `datasets` saved to disk."""
    columns: list[str] = []
    """The columns that are read, in their order. Default: all, in the order of the first row."""
    task: TaskType = "retrieval"
    """The task type of the rows. Rows of `classification` have two columns, a text and its class."""

    def reads(self) -> Iterator[Reads]:
        """Yield the files of rows."""
        columns = dict.fromkeys(self.columns, "columns")
        yield from (Reads(f"pairs.{split}", patterns, columns) for split, patterns in self.pairs.items())

    def task_type(self) -> str:
        """Return `task`."""
        return self.task

    def tells_origins(self) -> bool:
        """Return no: the form has none."""
        return False


class Medi(PairTables):
    """MEDI's form (INSTRUCTOR, arXiv 2212.09741): `query`, `pos` and `neg`, each an instruction and a text, and
    `task_name`, which is the rows' origin."""

    type: Literal["medi"]
    """The reader."""
    task: TaskType = "retrieval"
    """The task type of the rows."""
    task_names: list[str] = ["*"]
    """Glob patterns of the `task_name` of rows that are read."""

    def reads(self) -> Iterator[Reads]:
        """Yield the files of rows."""
        yield from (
            Reads(f"pairs.{split}", patterns, {"query": "", "pos": ""}) for split, patterns in self.pairs.items()
        )

    def task_type(self) -> str:
        """Return `task`."""
        return self.task

    def prompted(self) -> list[str]:
        """Return both sides: each text stands behind its instruction."""
        return ["query", "document"]
