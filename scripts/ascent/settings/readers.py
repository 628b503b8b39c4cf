"""How the rows of a corpus are read: the readers that a corpus may name, and each one's settings."""

import re
from typing import Literal

from pydantic import Field, model_validator

from .base import Component, Count, Settings, Split, one_of
from .evaluation import TWO_SIDED, TaskType

# Tables by suffix, each optionally compressed.
FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
COMPRESSED = {"gzip": ".gz", "zstd": ".zst", "bzip2": ".bz2", "lz4": ".lz4"}


def root_of(column: str) -> str:
    """Return the column that a path begins at: `passages` for `passages[].text`."""
    return re.split(r"\[\]|\.", column)[0]


class Reader(Component):
    """What every reader has."""

    folder = "corpora.readers"


class Columns(Settings):
    """Which column holds what. A column is a name, or a path into objects, with `[]` for a list: `passages[].text`."""

    query: str = "query"
    """The query; in classification rows the text."""
    positive: str = "positive"
    """The positive, or a list of positives, which makes one pair per positive; in classification rows the label."""
    negatives: list[str] = []
    """Columns of negatives. Each cell is a text or a list of texts, and may be empty."""
    label: str | None = None
    """The human score of a graded pair."""
    positive_scores: str | None = None
    """A teacher's score of the positive, or a list with one score per positive, for stages with
    `teacher: {type: stored}`."""
    negative_scores: list[str] = []
    """Columns of the teacher's scores of the negatives, one per column of `negatives`. A cell has one number per text."""
    query_prompt: str | None = None
    """The column of each query's own prompt, or instruction, in place of the data set's; a cell may be empty."""
    document_prompt: str | None = None
    """The column of the prompt of each row's positive and negatives."""

    @model_validator(mode="after")
    def _all_documents_are_scored(self):
        wanted = len(self.negatives) if self.positive_scores else 0
        if (self.positive_scores and not wanted) or len(self.negative_scores) != wanted:
            raise ValueError(
                "a teacher's scores are those of the positive and of all negatives; name positive_scores, and one column in "
                "negative_scores per column of negatives"
            )
        return self


class Table(Reader):
    """Tables: jsonl, json, csv, tsv and parquet, each optionally gz or zst. The reader if `type` is omitted."""

    type: Literal["table"] = "table"
    """The reader."""
    pairs: dict[Split, list[str]]
    """Files of pairs per split: glob patterns within the resource."""
    columns: Columns = Columns()
    """Which column holds what."""
    task: TaskType = "retrieval"
    """The task type of the rows."""
    documents: dict[Split, list[str]] = {}
    """Files of documents per split that its queries are searched in, besides the positives."""
    document_column: str = "text"
    """The column of a document's text."""

    @model_validator(mode="after")
    def _prompts_are_used(self):
        if self.columns.document_prompt and self.task in TWO_SIDED:
            why = f"as both texts of a row of {self.task} get columns.query_prompt"
            raise ValueError(f"columns.document_prompt is never used, {why}: remove it")
        return self


class TextColumns(Settings):
    """Which column of a table of documents holds what."""

    text: str = "text"
    """The document's text, with its line breaks."""
    title: str | None = None
    """Its title. A cell may be empty."""
    id: str | None = None
    """What leads back to the document: its url or id. Default: its file and row."""


class Text(Reader):
    """Documents without queries: tables (as `table` reads them), and plain text, Markdown, reStructuredText and the like."""

    type: Literal["text"]
    """The reader."""
    documents: dict[Split, list[str]] = Field(min_length=1)
    """Files of documents per split: glob patterns within the resource. Those without a table's suffix are plain text."""
    columns: TextColumns = TextColumns()
    """Which column of a table holds what."""
    document: Literal["file", "paragraph", "line"] = "file"
    """What of a plain file is one document: the file, a paragraph (up to an empty line), or a line."""


class Slice(Settings):
    """A fixed part of the corpus, drawn with its own random states, so that results can be compared."""

    train: Count = 2000
    """Training questions."""
    test: Count = 400
    """Test questions."""
    validation: Count = 400
    """Validation questions."""
    pool: Count = 3000
    """Answers that the test questions are searched in; a second pool of this size serves the validation questions."""
    seed: int = 0
    """Seed of the draw."""


class Insuranceqa(Reader):
    """InsuranceQA (arXiv 1508.01585) in the form of the package insuranceqa-data."""

    type: Literal["insuranceqa"]
    """The reader."""
    language: Literal["en", "zh"] = "en"
    """The English original or the machine translation into Chinese."""
    slice: Slice | None = None
    """A fixed part of the corpus. If omitted, the whole corpus."""


class Similarity(Reader):
    """Pairs of texts with a human score: SimLex-999, WordSim-353, or a matrix of scores such as that of Lee et al. (2005)."""

    type: Literal["similarity"]
    """The reader."""
    scores: str
    """File of the scores: a tab-separated list of pairs, or a matrix if `texts` is given."""
    texts: str | None = None
    """File with one text per line, in the order of the matrix."""
    encoding: str = "utf-8"
    """Encoding of the files."""


ChosenReader = one_of(Reader, default="table")
