"""The filters that a data set may list, and each one's settings."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from .base import Choice, Component, Range, by_name, some_of
from .model import Backbone


class Filter(Component):
    """What every filter has."""

    folder = "pairs.filters"
    needs: ClassVar[Literal["", "rows", "scores", "earlier rows"]] = ""
    """What it needs besides a row: `rows` of the corpora and tasks that its setting `against` names, `scores` of the pairs by
    the model in its setting `teacher`, or all `earlier rows` of the data set."""


class Clean(Filter):
    """Removes uneven white space and decomposed Unicode from all texts, and HTML if asked. Drops nothing."""

    html: bool = False
    """Whether to remove HTML tags and resolve entities, too. Evaluation does not see this; a corpus that is HTML says so itself,
    by `html: true`, and is then clean for both."""


class Empty(Filter):
    """Drops rows whose query or positive is empty."""


class Length(Filter):
    """Drops rows whose texts are too short or too long, in characters."""

    query: Range = (1, 2000)
    """Shortest and longest query to keep."""
    positive: Range = (1, 100_000)
    """Shortest and longest positive to keep."""

    @model_validator(mode="after")
    def _some_lengths(self):
        for side in ("query", "positive"):
            shortest, longest = getattr(self, side)
            if shortest > longest:
                raise ValueError(f"{side} [{shortest}, {longest}] admits no text; write the shorter length first")
        return self


class Duplicate(Filter):
    """Drops a pair that occurred before, and a pair of a text with itself. (Near duplicates need another filter.)"""

    needs = "earlier rows"


class Contamination(Filter):
    """Drops pairs with a text, as query or positive, that a model is tested with, whatever its case and punctuation."""

    needs = "rows"

    against: list[str] = Field(min_length=1)
    """Corpora: their validation and test queries. Also mteb's tasks and benchmarks, such as `MTEB(eng, v2)`: all their texts
    except documents."""


class Score(Filter):
    """Drops pairs that a teacher finds unrelated (consistency filtering, C-Pack, arXiv 2309.07597)."""

    needs = "scores"

    teacher: Backbone
    """The model that scores each pair by the similarity of its two texts."""
    min: float
    """Lowest score to keep."""


class _OneFilter(Choice):
    """One filter: a map from its name to its settings. A name alone stands for the filter's defaults."""

    @model_validator(mode="after")
    def _one(self):
        if len(self.chosen) != 1:
            named = ", ".join(self.chosen) or "none"
            raise ValueError(f"an item of the list is one filter, and this one names {named}; write each behind its own dash")
        return self

    @property
    def settings(self) -> Filter:
        """The filter's settings."""
        (settings,) = self.chosen.values()
        return settings


OneFilter = some_of(Filter, "OneFilter", _OneFilter)
AnyFilter = by_name(OneFilter)


def compared_with(filters: list[OneFilter]) -> list[str]:
    """Return the corpora and tasks whose rows these filters need."""
    names = [name for each in filters if each.settings.needs == "rows" for name in each.settings.against]
    return list(dict.fromkeys(names))
