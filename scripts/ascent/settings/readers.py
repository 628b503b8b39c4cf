"""The readers that a corpus may name, and the settings of those that read more than tables (tables.py)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from .base import Count, Settings, Split, one_of
from .tables import Reader, Reads


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

    def reads(self) -> Iterator[Reads]:
        """Yield the files of documents."""
        columns = {column: f"columns.{key}" for key, column in self.columns.model_dump().items() if column}
        yield from (Reads(f"documents.{split}", patterns, columns, plain=True) for split, patterns in self.documents.items())


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
