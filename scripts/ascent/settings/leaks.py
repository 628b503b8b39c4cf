"""How training texts are compared with the texts of evaluated tasks, and what is done about those that match."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, create_model

from .base import Choice, Component, Count, Settings, components, some_of

AboveZero = Annotated[float, Field(gt=0, le=1)]


class Leak(Component):
    """What every method of comparison has."""

    folder = "pairs.leaks"
    says: ClassVar[str]
    """What a text does that matches, before `a test query`."""
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
