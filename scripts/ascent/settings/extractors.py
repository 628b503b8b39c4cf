"""The extractors that a corpus may list, which make pairs of documents or of other rows, and each one's settings."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from .base import Component, Count, One, Seed, Share, Split, by_name, some_of
from .evaluation import TaskType


class Extractor(Component):
    """What every extractor has."""

    folder = "corpora.extractors"
    abstract = True
    rows: ClassVar[tuple[TaskType, ...]] = ()
    """The task types of the rows that it takes; none for one that takes documents."""
    needs_passages: ClassVar[bool] = False
    """Whether it makes pairs only of documents that are cut into passages."""
    needs_others: ClassVar[bool] = False
    """Whether it makes pairs of several rows, wherever they stand in the corpus."""

    splits: list[Split] = Field(["train"], min_length=1)
    """The splits that it makes pairs of."""

    @property
    def adds_negatives(self) -> bool:
        """Whether the pairs may have negatives that its rows had not."""
        return bool(getattr(self, "negatives", 0))


class DocumentExtractor(Extractor):
    """Makes pairs of documents."""

    abstract = True

    task: TaskType = "retrieval"
    """The task type of the pairs."""
    per_document: Count | None = None
    """Most pairs of one document, drawn. Default: all."""
    seed: Seed = 0
    """Seed of all that is drawn, together with the document's text: neither order nor other documents change it."""


class WholeText(DocumentExtractor):
    """Each document, or each of its passages, paired with itself: for pre-training, and for data sets whose `positive`
    is `query`."""


class TitleBody(DocumentExtractor):
    """The title as query, the body as positive (E5, arXiv 2212.03533, section 3.1). Without a column of titles it is
    the heading that the document begins with."""


class HeadingSection(DocumentExtractor):
    """Each heading as query, the section below it as positive (E5): Markdown, reStructuredText, manual pages."""

    with_title: bool = True
    """Whether the document's title stands before the heading, as in E5: `Examples` alone says little."""


class QuestionAnswer(DocumentExtractor):
    """A heading or line that ends in a question mark as query, what follows as positive: pages of frequent
    questions."""

    longest: Count = 200
    """Longest question, in characters."""


class QueryContext(DocumentExtractor):
    """A drawn sentence of each passage as query, the rest of the passage as positive (inverse cloze task, arXiv
    1906.00300)."""

    kept: Share = 0.1
    """Share of the pairs whose positive keeps the sentence, so that matching words is learnt, too. The paper's."""


class NeighbouringPassages(DocumentExtractor):
    """Each passage as query, the next one of the same document as positive, without the overlap (contriever, arXiv
    2112.09118)."""

    needs_passages = True


class GivenRows(Extractor):
    """The rows as they were read, in addition to those that other extractors of the list make of them."""

    rows = ("retrieval", "reranking", "sts", "classification", "clustering", "pair-classification")


class SentenceEdit(Extractor):
    """Of rows with two versions of a text, each sentence that was edited: before as query, after as positive."""

    rows = ("retrieval",)

    task: TaskType = "sts"
    """The task type of the pairs."""
    similarity: Share = 0.5
    """Least share of characters that two sentences have in common, in order, to be versions of one (difflib's
    ratio)."""


class NliTriples(Extractor):
    """Of premise, hypothesis and label the entailed hypothesis as positive of its premise, the contradictory ones as
    negatives (SimCSE, arXiv 2104.08821). Premises that lack either make no row."""

    rows = ("pair-classification", "sts")
    needs_others = True

    task: TaskType = "sts"
    """The task type of the pairs."""
    entailment: float = 0.0
    """The label of entailment, a number. `labels` of the reader gives words numbers."""
    contradiction: float = 2.0
    """The label of contradiction."""
    negatives: Count = 1
    """Most negatives of a row, drawn."""
    seed: Seed = 0
    """Seed of what is drawn."""


class GradedPairs(Extractor):
    """Pairs with a human score: the score brought to 0..1 as label, or the high ones as pairs without a label."""

    rows = ("sts", "pair-classification")

    task: TaskType = "sts"
    """The task type of the pairs."""
    range: Annotated[tuple[float, float], Field(strict=False)] = (0.0, 5.0)
    """Lowest and highest score that a row may have."""
    positives_from: float | None = None
    """Take rows with at least this score, without a label, and no others. Default: all rows, with labels."""

    @model_validator(mode="after")
    def _some_scores(self):
        low, high = self.range
        if low >= high:
            raise ValueError(f"range [{low}, {high}] holds no scores; write the lowest first")
        if self.positives_from is not None and not low <= self.positives_from <= high:
            raise ValueError(
                f"positives_from {self.positives_from} is outside of range [{low}, {high}]; choose a score within it"
            )
        return self


class LabelAsPositive(Extractor):
    """The text as query, its class in words as positive, other classes as negatives."""

    rows = ("classification",)

    task: TaskType = "classification"
    """The task type of the pairs."""
    names: dict[str, str] = {}
    """Words for each class: {"0": negative review}. Default: the classes are words themselves."""
    negatives: Annotated[int, Field(ge=0)] = 0
    """Negatives of a row: as many other classes of `names`, drawn."""
    seed: Seed = 0
    """Seed of what is drawn."""

    @model_validator(mode="after")
    def _enough_classes(self):
        if self.negatives and self.negatives >= len(self.names):
            raise ValueError(
                f"negatives {self.negatives} are other classes of names, which has {len(self.names)}; name all classes,"
                " or ask for fewer"
            )
        return self


class SameClassPairs(Extractor):
    """Each text as query, another text of its class as positive, texts of other classes as negatives."""

    rows = ("classification", "clustering")
    needs_others = True

    task: TaskType = "clustering"
    """The task type of the pairs."""
    negatives: Annotated[int, Field(ge=0)] = 1
    """Negatives of a row, each of another class."""
    pool: Count = 64
    """Texts of each class that positives and negatives are drawn from: those whose hashes are least, so that order
    changes nothing. They are held in memory."""
    classes: Count = 10_000
    """Most classes; more stop the run, since memory grows with them."""
    seed: Seed = 0
    """Seed of all that is drawn."""


OneExtractor = some_of(Extractor, "OneExtractor", One)
AnyExtractor = by_name(OneExtractor)
