"""How training texts are compared with the texts of evaluated tasks, and what is done about those that match."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, create_model, model_validator

from .base import Choice, Component, Count, Settings, Split, components, some_of
from .model import Backbone

AboveZero = Annotated[float, Field(gt=0, le=1)]


class Leak(Component):
    """What every method of comparison has."""

    folder = "pairs.leaks"
    says: ClassVar[str]
    """What a text does that matches, before `a test query`."""
    by_model: ClassVar[bool] = False
    """Whether texts are compared by embeddings, of the model in its setting `encoder`."""
    words: ClassVar[str]
    """Which texts match, behind `texts`, with the settings' names in braces."""

    test: Literal["drop", "report", "stop", "ignore"] = "report"
    """What is done about training rows with a text that a task tests with: a query, or a text of classification,
    clustering, STS and the like. `drop` removes them from every data set, as the filter contamination does, `stop` ends
    the run before anything is trained, `report` lists them in the ledger, and `ignore` does not compare."""
    documents: Literal["report", "stop", "ignore"] = "report"
    """The same about documents that queries search in, and texts of labels: models are commonly trained on Wikipedia,
    which is the pool of many tasks."""

    def compared(self) -> "Leak":
        """Return how texts are compared, without what is done about them: that is the default."""
        return type(self)(**self.model_dump(exclude={"test", "documents"}))


class Hash(Leak):
    """Texts that are equal but for markup, case, width, white space and punctuation."""

    says = "is"
    words = "that are equal but for markup, case, white space and punctuation"

    test: Literal["drop", "report", "stop", "ignore"] = "stop"
    """As for every method, but these rows end the run unless a recipe says otherwise."""


class Ngram(Leak):
    """Texts that share a large part of their n-grams: of the words, or of the characters where a script has no spaces
    (LightOn and others decontaminate by 13-grams). A text with fewer words has no n-gram."""

    says = "shares n-grams with"
    words = "that share at least {containment:.0%} of their {size}-grams"

    size: Count = 13
    """Words, or characters of Chinese, Japanese, Thai and the like, of an n-gram."""
    containment: AboveZero = 0.5
    """Smallest share that matches: of the test text's distinct n-grams that are in the training text, or the other way
    round."""


class NearDuplicate(Leak):
    """Texts that are nearly equal, of any length: by the Jaccard similarity of their runs of five characters, of two in
    scripts without spaces. MinHash (Broder 1997) finds the candidates: at least 99 % of those at a similarity of 0.7 or
    more."""

    says = "nearly repeats"
    words = "with a similarity of at least {similarity:g}"

    similarity: AboveZero = 0.8
    """Smallest Jaccard similarity that matches."""


class Embedding(Leak):
    """Texts that mean about the same: the cosine similarity of their embeddings. It finds paraphrases, and is not done
    unless a recipe asks for it: each training text is embedded, and compared with each test text."""

    by_model = True
    says = "means about the same as"
    words = "whose embeddings have a cosine similarity of at least {threshold:g}"

    test: Literal["report", "stop", "ignore"] = "ignore"
    """As for every method, but nothing is compared unless a recipe says so. It cannot drop rows."""
    documents: Literal["report", "stop", "ignore"] = "ignore"
    """As for every method, but nothing is compared unless a recipe says so."""
    encoder: Backbone | None = None
    """The model that embeds the texts, and how it is used; a small one, since this runs on CPUs. Both texts get its
    query prompt of sts. Needed where texts are compared."""
    threshold: AboveZero = 0.9
    """Smallest cosine similarity that matches."""

    @property
    def is_used(self) -> bool:
        """Whether texts are compared by it."""
        return {self.test, self.documents} != {"ignore"}

    @model_validator(mode="after")
    def _compares_by_a_model(self):
        if self.is_used and self.encoder is None:
            raise ValueError("embedding compares by a model; name it, as in encoder: {model: all-minilm-l6-v2}")
        return self


class _Methods(Choice):
    """Ways to compare texts, each a map from its name to its settings."""


Methods = some_of(Leak, "Methods", _Methods)
Leaks = create_model(
    "Leaks",
    __base__=Settings,
    __module__=__name__,
    __doc__=(
        "How training texts are compared with those of evaluated tasks. A method that is not named has its defaults."
    ),
    **{name: (method, Field(method(), description=method.__doc__)) for name, method in components(Leak).items()},
)


class LeakCheck(Settings):
    """leakage.yaml: what the leak check compares. A change of it, once written, is newer than the last check."""

    splits: list[Split]
    """The splits that local tasks evaluate, and `test` for the texts of other tasks."""
    training: list[str]
    """The folders of the pairs that stages train on or choose weights by."""
    pools: dict[str, list[Split]] = {}
    """The corpora whose documents negatives are mined among, and the splits of these documents."""
    evaluation: list[str]
    """The corpora and tasks whose texts must not be among them."""
    searched: dict[str, list[Split]] = {}
    """Further corpora whose documents tasks search, and the splits of these documents."""
    leaks: Leaks = Leaks()
    """How texts are compared."""
