"""The readers that a corpus may name, and the settings of those that read more than tables (tables.py)."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from .base import Count, Positive, Settings, Split, components, one_of
from .evaluation import SEARCHED, LocalTask
from .mteb_tasks import TrainedTask, task_type
from .tables import PairTables, Reader, Reads


class TextColumns(Settings):
    """Which column of a table of documents holds what."""

    text: str = "text"
    """The document's text, with its line breaks."""
    title: str | None = None
    """Its title. A cell may be empty."""
    id: str | None = None
    """What leads back to the document: its url or id. Default: its file and row."""


class Text(Reader):
    """Documents without queries: tables (as `table` reads them), and plain text, Markdown, reStructuredText and the
    like."""

    type: Literal["text"]
    """The reader."""
    documents: dict[Split, list[str]] = Field(min_length=1)
    """Files of documents per split: glob patterns within the resource. Those without a table's suffix are plain
    text."""
    columns: TextColumns = TextColumns()
    """Which column of a table holds what."""
    document: Literal["file", "paragraph", "line"] = "file"
    """What of a plain file is one document: the file, a paragraph (up to an empty line), or a line."""

    def splits(self) -> list[str]:
        """Return no split, since it has no pairs."""
        return []

    def document_splits(self) -> list[str]:
        """Return the splits with files of documents."""
        return list(self.documents)

    def gives_negatives(self) -> bool:
        """Return no: it has no pairs."""
        return False

    def reads(self) -> Iterator[Reads]:
        """Yield the files of documents."""
        columns = {column: f"columns.{key}" for key, column in self.columns.model_dump().items() if column}
        yield from (
            Reads(f"documents.{split}", patterns, columns, plain=True) for split, patterns in self.documents.items()
        )


# The columns of BEIR's judgements, and what they are.
QRELS = {"query-id": "query", "corpus-id": "document", "score": "grade"}


class InParts(Reader):
    """What readers have that know which part they read."""

    abstract = True

    _part: tuple[int, int] = PrivateAttr((0, 1))

    def of_part(self, part: int, parts: int) -> Self:
        """Return the settings that read one of several parts."""
        copy = self.model_copy()
        copy._part = part, parts
        return copy

    @property
    def part(self) -> tuple[int, int]:
        """Which part is read, and of how many."""
        return self._part


class Judged(InParts):
    """What readers of relevance judgements have. A part has its queries' pairs, and the first part all documents."""

    abstract = True

    type: str  # named here so that it comes first
    """The reader."""
    min_grade: Count = 1
    """The grade from which a judged document is a positive of its query. One judged lower is a negative of it."""
    graded: list[Split] = ["test"]
    """Splits whose pairs keep their grade as label: local retrieval and reranking weigh answers by it (nDCG). In
    training each positive counts the same, and losses that read no labels refuse rows with different ones."""
    negatives: Annotated[int, Field(ge=0)] = 15
    """Most negatives of a pair: first documents judged below `min_grade`, then those of `runs` by rank."""


class JudgedFiles(Judged):
    """What readers of files of judgements have."""

    abstract = True

    qrels: dict[Split, list[str]] = {}
    """Files of relevance judgements per split."""
    runs: dict[Split, list[str]] = {}
    """Run files per split (query Q0 document rank score tag, or query document rank), whose documents are negatives of
    their query unless they are judged."""

    @model_validator(mode="after")
    def _runs_are_judged(self):
        if missing := [split for split in self.runs if split not in self.qrels]:
            raise ValueError(
                f"runs.{missing[0]} has no judgements, which say what is relevant; name files in qrels.{missing[0]}"
            )
        return self


class Beir(JudgedFiles):
    """BEIR's form: documents and queries by id, and relevance judgements. All documents are in the pool of each
    split."""

    type: Literal["beir"]
    """The reader."""
    qrels: dict[Split, list[str]] = Field(min_length=1)
    """Files of relevance judgements per split, with the columns `query-id`, `corpus-id`, `score`: `{test:
    [qrels/test.tsv]}`."""
    corpus: list[str] = ["corpus.jsonl"]
    """Files of documents, with the columns `_id` (or `id`), `text`, and optionally `title`, which comes before the
    text."""
    queries: list[str] = ["queries.jsonl"]
    """Files of queries, of all splits, with the columns `_id` (or `id`) and `text`."""

    def reads(self) -> Iterator[Reads]:
        """Yield the files of documents, queries, judgements and runs."""
        yield Reads("corpus", self.corpus, {"text": ""})
        yield Reads("queries", self.queries, {"text": ""})
        yield from (
            Reads(f"qrels.{split}", patterns, dict.fromkeys(QRELS, "")) for split, patterns in self.qrels.items()
        )
        yield from (Reads(f"runs.{split}", patterns, plain=True) for split, patterns in self.runs.items())

    def splits(self) -> list[str]:
        """Return the splits with judgements."""
        return list(self.qrels)

    def task_type(self) -> str:
        """Return retrieval."""
        return "retrieval"


class Trec(JudgedFiles):
    """The forms of MS MARCO and TREC, without headers. All documents are in the pool of each split."""

    type: Literal["trec"]
    """The reader."""
    collection: list[str] = []
    """Files of documents: id and text, separated by a tab."""
    cells: list[str] = ["id", "text"]
    """What the cells of a document's line are: `id`, `text` and `title` (comes before the text); others are left out.
    MS MARCO's documents are `[id, url, title, text]`."""
    header: bool = False
    """Whether the first line of each file names its cells, as in T2Ranking, and is left out. Run files have none."""
    queries: list[str] = []
    """Files of queries, of all splits: id and text, separated by a tab."""
    qrels: dict[Split, list[str]] = {}
    """Files of relevance judgements per split: query, 0, document and grade, separated by white space."""
    triples: dict[Split, list[str]] = {}
    """Files of a query, a positive and a negative per split, separated by tabs: ids if there is a `collection`, else
    texts."""

    @model_validator(mode="after")
    def _ids_are_found(self):
        if not self.qrels and not self.triples:
            raise ValueError("no file has pairs; name `qrels` or `triples`")
        if (self.qrels or self.collection or self.queries) and not (self.collection and self.queries):
            raise ValueError(
                "judgements, and triples of ids, are of documents and queries; name both `collection` and `queries`"
            )
        if not {"id", "text"} <= set(self.cells):
            raise ValueError("a document has an id and a text; name both in `cells`")
        return self

    def reads(self) -> Iterator[Reads]:
        """Yield the files of documents, queries, judgements, triples and runs."""
        yield from (Reads(key, getattr(self, key), plain=True) for key in ("collection", "queries"))
        for key in ("qrels", "triples", "runs"):
            yield from (Reads(f"{key}.{split}", patterns, plain=True) for split, patterns in getattr(self, key).items())

    def splits(self) -> list[str]:
        """Return the splits with judgements or triples."""
        return list(dict.fromkeys((*self.qrels, *self.triples)))

    def tells_origins(self) -> bool:
        """Return whether documents have ids."""
        return bool(self.collection)

    def task_type(self) -> str:
        """Return retrieval."""
        return "retrieval"


# What stands for each of `sources` in the patterns of files.
SOURCE = "{source}"


class Pylate(PairTables, InParts):
    """PyLate's form for distillation: queries and documents by id, and rows of a query's id, ids of documents, and a
    teacher's scores of these. What no row names is not read."""

    type: Literal["pylate"]
    """The reader."""
    pairs: dict[Split, list[str]] = Field(min_length=1)
    """Files of rows per split, with the columns `query_id`, `document_ids` and that of the scores."""
    queries: list[str] = ["queries/*"]
    """Files of queries, of all splits, with the columns `query_id` and `query` (or `text`)."""
    documents: list[str] = ["documents/*"]
    """Files of documents, of all splits, with the columns `document_id` and `document` (or `text`)."""
    sources: list[str] = []
    """Where ids are those of one source of several: the sources, each of which stands for `{source}` in all patterns.
    Default: ids are those of the whole corpus."""
    scores: str = "scores"
    """The column of the scores."""
    positives: str | None = None
    """The column of the ids of a row's positives, each of which makes a pair. Default: the first document is the
    positive."""
    negatives: Count = 15
    """Most negatives of a pair: those with the highest scores."""
    max_share_of_positive: Positive = 0.95
    """A document that scores above this share of the positive's score is no negative, since it is probably an answer
    (NV-Retriever, arXiv 2407.15831, TopK-PercPos)."""

    @model_validator(mode="after")
    def _sources_stand_in_patterns(self):
        keys = {f"pairs.{split}": patterns for split, patterns in self.pairs.items()}
        keys |= {"queries": self.queries, "documents": self.documents}
        for key, pattern in ((key, each) for key, patterns in keys.items() for each in patterns):
            if self.sources and SOURCE not in pattern:
                raise ValueError(f"{key} has the pattern {pattern} for each of `sources`; write {SOURCE} in it")
            if SOURCE in pattern and not self.sources:
                raise ValueError(f"{key} has the pattern {pattern}, but `sources` names no source; list them there")
        return self

    def of_source(self, patterns: list[str], source: str) -> list[str]:
        """Return the patterns of one source's files."""
        return [pattern.replace(SOURCE, source) for pattern in patterns]

    def reads(self) -> Iterator[Reads]:
        """Yield the files of queries, documents and rows, source by source."""
        columns = dict.fromkeys(("query_id", "document_ids"), "") | {self.scores: "scores"}
        columns |= {self.positives: "positives"} if self.positives else {}
        for source in self.sources or [""]:
            yield Reads("queries", self.of_source(self.queries, source), {"query_id": ""})
            yield Reads("documents", self.of_source(self.documents, source), {"document_id": ""})
            for split, patterns in self.pairs.items():
                yield Reads(f"pairs.{split}", self.of_source(patterns, source), columns)

    def task_type(self) -> str:
        """Return retrieval."""
        return "retrieval"


class Mteb(Judged):
    """A task that mteb knows, loaded by mteb itself from the files of its data set: `source: {type: mteb_task, ...}`,
    or a folder of the same form. `min_grade`, `graded` and `negatives` are of retrieval and reranking."""

    type: Literal["mteb"]
    """The reader."""
    task: TrainedTask
    """The task's name in mteb. Its type is that of the rows; those of clustering are read as classification."""
    splits_of: dict[Split, str] = {"train": "train"}
    """mteb's split that each split is: `{train: train, validation: dev}`."""
    subsets: list[str] | None = None
    """Subsets, often languages, that are read. Default: all."""
    classes: str | None = None
    """The column of the names of classes, often `label_text`. Default: mteb's, which mostly has numbers."""

    def splits(self) -> list[str]:
        """Return the splits that are read."""
        return list(self.splits_of)

    def task_type(self) -> str:
        """Return the type of the rows that local tasks of mteb's type are made of."""
        kind = task_type(self.task)
        return components(LocalTask)[kind].rows if kind in components(LocalTask) else kind

    def tells_origins(self) -> bool:
        """Return whether its rows are judgements, of documents with ids."""
        return self.task_type() in SEARCHED


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
    """InsuranceQA (arXiv 1508.01585) in the form of the package insuranceqa-data. The origin of a row is its domain."""

    type: Literal["insuranceqa"]
    """The reader."""
    language: Literal["en", "zh"] = "en"
    """The English original or the machine translation into Chinese."""
    slice: Slice | None = None
    """A fixed part of the corpus. If omitted, the whole corpus."""


class Similarity(Reader):
    """Pairs of texts with a human score: SimLex-999, WordSim-353, or a matrix of scores such as that of Lee et al.
    (2005)."""

    type: Literal["similarity"]
    """The reader."""
    scores: str
    """File of the scores: a tab-separated list of pairs, or a matrix if `texts` is given."""
    texts: str | None = None
    """File with one text per line, in the order of the matrix."""
    encoding: str = "utf-8"
    """Encoding of the files."""

    def tells_origins(self) -> bool:
        """Return no: the form has none."""
        return False


class Synthesised(Reader):
    """The rows of a source `synthesis`. Those that were set aside there are counted here."""

    type: Literal["synthesised"]
    """The reader."""


ChosenReader = one_of(Reader, default="table")
