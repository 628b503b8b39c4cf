"""The filters that a data set may list, and each one's settings."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import Component, Count, Name, One, Range, Seed, Share, by_name, some_of
from .evaluation import TaskType
from .languages import KnownLanguage, Script
from .leaks import Methods
from .measures import Measure, Predicting, Ranking, Scoring, Signing
from .model import Backbone


class Filter(Component):
    """What every filter has."""

    folder = "pairs.filters"
    needs: ClassVar[Literal["", "rows", "earlier rows", "all rows", "tokenizer"]] = ""
    """What it needs besides a row: `rows` of the corpora and tasks that its setting `against` names, all `earlier rows`
    of the data set, `all rows` of it, or the `tokenizer` of the model in its setting `model`."""
    measured: ClassVar[Literal["", "scores", "ranks", "perplexities", "signatures"]] = ""
    """What it judges rows by, if a step of its own finds that out: see `measure`."""
    fits_texts: ClassVar[bool] = False
    """Whether its settings fit the texts of one corpus, so that a trial with another one leaves it out."""

    @property
    def compares(self) -> bool:
        """Whether it compares a row with others of the data set, and so sees the rows that a pass begins with."""
        return self.needs in ("earlier rows", "all rows")

    def measure(self, task: TaskType) -> Measure | None:
        """Return the settings of the step that finds out what is `measured` of a data set's rows of this task type."""
        return None


class Clean(Filter):
    """Removes uneven white space and decomposed Unicode from all texts, and HTML if asked. Drops nothing."""

    html: bool = False
    """Whether to remove HTML tags and resolve entities, too. Evaluation does not see this; a corpus that is HTML says
    so itself, by `html: true`, and is then clean for both."""


class Empty(Filter):
    """Drops rows whose query or positive is empty."""


class Bounds(Filter):
    """What filters of lengths have."""

    abstract = True

    query: Range
    """Shortest and longest query to keep."""
    positive: Range
    """Shortest and longest positive to keep."""

    @model_validator(mode="after")
    def _some_lengths(self):
        for side in ("query", "positive"):
            shortest, longest = getattr(self, side)
            if shortest > longest:
                raise ValueError(f"{side} [{shortest}, {longest}] admits no text; write the shorter length first")
        return self


class Length(Bounds):
    """Drops rows whose texts are too short or too long, in characters."""

    query: Range = (1, 2000)
    """Shortest and longest query to keep."""
    positive: Range = (1, 100_000)
    """Shortest and longest positive to keep."""


class Words(Bounds):
    """Drops rows whose texts have too few or too many words. A character of Chinese or Japanese is a word."""

    fits_texts = True

    query: Range = (1, 500)
    """Fewest and most words of a query to keep."""
    positive: Range = (1, 100_000)
    """Fewest and most words of a positive to keep."""


class Tokens(Bounds):
    """Drops rows whose texts have too few or too many tokens, without special ones and prompts."""

    needs = "tokenizer"
    fits_texts = True

    model: Name
    """The model in config/models.yaml whose tokenizer counts, such as the recipe's base."""
    query: Range = (1, 512)
    """Fewest and most tokens of a query to keep."""
    positive: Range = (1, 8192)
    """Fewest and most tokens of a positive to keep."""


class Language(Filter):
    """Drops rows with a text in another language, as fastText's small model (lid.176.ftz, arXiv 1607.01759) tells
    languages."""

    fits_texts = True

    languages: list[KnownLanguage] | None = Field(None, min_length=1)
    """The languages to keep, ISO 639-3 codes with script, such as [eng-Latn, zho-Hans]. Scripts are not distinguished;
    the filter `symbols` does that. Default: the row's own language, which is its corpus's."""
    min_confidence: Share = 0.1
    """Lowest probability that a text is in one of these languages, for it to be kept. Short texts are rarely certain:
    .5 drops a tenth of real questions."""
    min_letters: Count = 20
    """Texts with fewer letters are not judged."""


class Symbols(Filter):
    """Drops rows with a text that is not what people write: few letters, many symbols, broken characters, another
    script."""

    fits_texts = True

    letters: Share = 0.5
    """Lowest share of letters among the characters that are not white space."""
    digits: Share = 0.4
    """Highest share of digits."""
    symbols: Share = 0.4
    """Highest share of symbols and punctuation."""
    white_space: Share = 0.4
    """Highest share of white space, of which clean texts have one space between words."""
    broken: Share = 0
    """Highest share of broken characters: control characters, private and unassigned ones, and `�`."""
    mojibake: bool = False
    """Whether to keep texts that were read in the wrong encoding, `donâ€™t` for `don’t`, as ftfy's heuristic tells
    them."""
    scripts: list[Script] = []
    """The scripts to keep, by their names in Unicode: [Latin, Han]. Default: all."""
    script_share: Share = 0.5
    """Lowest share of letters in `scripts`."""


class Repetition(Filter):
    """Drops rows with a text that repeats itself (Gopher's n-grams, arXiv 2112.11446, table A1). Two characters of
    Chinese or Japanese count as a word."""

    fits_texts = True

    most_frequent: list[Share] = Field([0.2, 0.18, 0.16], max_length=3)
    """Highest share of a text's characters in the occurrences of its most frequent 2-gram, 3-gram, 4-gram of words."""
    duplicated: list[Share] = Field([0.15, 0.14, 0.13, 0.12, 0.11, 0.1], max_length=6)
    """Highest share of a text's characters in 5-grams, 6-grams, ... 10-grams of words that occur more than once."""
    min_words: Count = 100
    """Texts with fewer words are not judged. The default shares are those of whole pages: of answers with 50 to 99
    words they drop 6%, most of them good, of longer ones 3%. Shorter texts need higher shares."""


class Overlap(Filter):
    """Drops pairs whose texts share too many words, which teach nothing but to look for the same words, or too few."""

    fits_texts = True

    verbatim: bool = False
    """Whether to keep pairs whose positive contains the query, whatever its case."""
    words: tuple[Share, Share] = Field((0, 1), strict=False)
    """Lowest and highest share of the query's distinct words that the positive has. A character of Chinese or Japanese
    is a word."""

    @model_validator(mode="after")
    def _some_shares(self):
        if self.words[0] > self.words[1]:
            raise ValueError(f"words [{self.words[0]}, {self.words[1]}] admits no pair; write the lower share first")
        return self


class Duplicate(Filter):
    """Drops a pair that occurred before, and a pair of a text with itself."""

    needs = "earlier rows"


class NearDuplicate(Filter):
    """Drops rows whose texts are nearly those of another row, by the Jaccard similarity of their runs of characters,
    which MinHash estimates (Broder 1997). Which of two is dropped is drawn by their texts, so neither their order nor
    their parts matter. Rows with other prompts of their own are other rows."""

    needs = "all rows"
    measured = "signatures"

    similarity: float = Field(0.8, ge=0.5, le=1)
    """Smallest similarity to drop."""
    side: Literal["query", "positive", "both"] = "both"
    """Which text of a row is compared. `both`: each text must be similar to that of the same other row."""
    shingle: int = Field(5, ge=2)
    """Characters of a run, letters and digits only; two fifths of it in scripts without spaces."""
    permutations: int = Field(128, ge=16, le=1024)
    """Numbers that are kept of each text, 2 bytes each. With 128 the standard error of a similarity of .8 is .035; four
    times as many halve it."""

    def measure(self, task: TaskType) -> Signing:
        return Signing(side=self.side, shingle=self.shingle, permutations=self.permutations)


# What rows are counted by; COUNTED in pairs/earlier.py says how.
Counted = Literal["positive", "query", "query_prompt", "origin", "host"]
# Of these, what a row without an origin has not.
BY_ORIGIN = ("origin", "host")


class Cap(Filter):
    """Drops rows of what has very many: of a class, of a document that answers very many queries, of a query with very
    many answers, of a site. Which rows are kept is drawn by their texts, so neither their order nor their parts
    matter."""

    needs = "all rows"

    by: Counted = "positive"
    """What is counted: rows of the same positive, which is the class in rows of classes; of the same query; with the
    same prompt of their own, those without one together; of the same origin, which is the document that a pair was
    extracted from, or what the corpus's reader says; or of the same host in origins that are web addresses. Rows
    without origin or host are not counted, and kept."""
    rows: Count
    """How many rows of each are kept at most."""
    seed: Seed = 0
    """What the draw depends on, besides the texts."""

    @property
    def fits_texts(self) -> bool:
        """Whether rows are counted by origins, which another corpus may not have."""
        return self.by in BY_ORIGIN


class Contamination(Filter):
    """Drops pairs with a text, as query, positive or negative, that a model is tested with."""

    needs = "rows"

    against: list[str] = Field(min_length=1)
    """Corpora: their validation and test queries. Also mteb's tasks and benchmarks, such as `MTEB(eng, v2)`: all their
    texts except documents."""
    methods: Methods = Field({"hash": {}}, validate_default=True)
    """How texts are compared, as in a recipe's `leaks`, without `test` and `documents`. Default: `{hash: {}}`."""

    @model_validator(mode="after")
    def _only_drops(self):
        for name, method in self.methods.chosen.items():
            if method.by_model:
                raise ValueError(
                    f"methods names {name}, which needs a model, and this filter has none; set it in the recipe's"
                    " leaks, where it reports"
                )
            if method != method.compared():
                raise ValueError(
                    f"methods.{name} says what is done, but this filter only drops; say it in the recipe's leaks"
                )
        if not self.methods.chosen:
            raise ValueError("methods names none, so nothing is compared; write methods: {hash: {}}")
        return self


class Score(Filter):
    """Drops pairs that a teacher finds unrelated (consistency filtering, C-Pack, arXiv 2309.07597)."""

    measured = "scores"

    teacher: Backbone
    """The model that scores each pair by the similarity of its two texts."""
    min: float
    """Lowest score to keep."""

    def measure(self, task: TaskType) -> Scoring:
        return Scoring(teacher=self.teacher, task=task)


class Rank(Filter):
    """Drops pairs whose positive is not among the documents that a teacher finds closest to the query, of a pool of the
    data set's documents (consistency filtering, E5, arXiv 2212.03533)."""

    measured = "ranks"

    teacher: Backbone
    """The model that ranks documents by their similarity to the query."""
    top: Count = 2
    """Lowest rank to keep: 2 keeps pairs with at most one document that is closer. Other positives of the query do not
    count."""
    pool: Count = 1_000_000
    """How many of the data set's distinct positives are drawn as documents, besides a pair's own. Their embeddings are
    held in memory: 4 GB of a million by a model of 1,024 dimensions."""
    seed: Seed = 0
    """What the draw depends on, besides the texts."""

    def measure(self, task: TaskType) -> Ranking:
        return Ranking(teacher=self.teacher, task=task, pool=self.pool, seed=self.seed)


# A perplexity, which is 1 where each token was certain.
Perplexities = tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]]


class Perplexity(Filter):
    """Drops rows with a text that a causal language model predicts too badly, as what nobody wrote, or too well, as
    boilerplate (CCNet, arXiv 1911.00359)."""

    measured = "perplexities"
    fits_texts = True

    model: Name
    """The model in config/models.yaml that predicts. It should know the language: a small one is enough."""
    query: Perplexities | None = Field(None, strict=False)
    """Lowest and highest perplexity of a query to keep, per token of the model. Default: any."""
    positive: Perplexities | None = Field(None, strict=False)
    """The same of a positive."""
    max_tokens: Count = 512
    """Tokens of a text that are predicted; what is behind them is not read."""

    @model_validator(mode="after")
    def _some_perplexities(self):
        bounds = {side: bound for side in ("query", "positive") if (bound := getattr(self, side))}
        if not bounds:
            raise ValueError("neither query nor positive is bounded, so nothing is dropped; write positive: [5, 500]")
        for side, (lowest, highest) in bounds.items():
            if lowest > highest:
                raise ValueError(f"{side} [{lowest:g}, {highest:g}] admits no text; write the lower perplexity first")
        return self

    def measure(self, task: TaskType) -> Predicting:
        return Predicting(model=self.model, max_tokens=self.max_tokens)


OneFilter = some_of(Filter, "OneFilter", One)
AnyFilter = by_name(OneFilter)


def compared_with(filters: list[OneFilter]) -> list[str]:
    """Return the corpora and tasks whose rows these filters need."""
    names = [name for each in filters if each.settings.needs == "rows" for name in each.settings.against]
    return list(dict.fromkeys(names))


def counted_by(filters: list[OneFilter]) -> list[str]:
    """Return the models whose tokenizers these filters need."""
    return list(dict.fromkeys(each.settings.model for each in filters if each.settings.needs == "tokenizer"))
