"""The losses that a recipe may name, and each one's settings.

`OBJECTIVES` is the only list of them: the schema of a stage's `objective`, the tables and the error messages are made of it. A
loss's settings but `weight` are the keyword arguments of the function of its name in scripts/ascent/objectives.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, create_model, model_serializer, model_validator

from .settings_base import Positive, Settings


class Loss(Settings):
    """What every loss has."""

    needs: ClassVar[Literal["labels", "negatives", "own negatives"]]
    """What rows must have for the loss to teach anything: labels, or documents to be told from, in the batch or their own."""

    weight: Positive = 1
    """Factor on the loss in the sum of a stage's losses."""


class Infonce(Loss):
    """Each query's positive against every other document of the batch (arXiv 1807.03748)."""

    needs = "negatives"

    temperature: Positive = 0.05
    """Similarities are divided by it before the softmax."""
    symmetric: bool = False
    """Also rank the batch's queries for each positive, and average the two losses."""


class Triplet(Loss):
    """Each query nearer to its positive than to its own negatives, by a margin (arXiv 1503.03832)."""

    needs = "own negatives"

    margin: Positive = 1
    """How much nearer."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """The distance; `cosine` is 1 less the cosine. Between unit vectors either is 2 at most."""


class Cosine(Loss):
    """Squared error of the cosine similarity against the label, of graded pairs (arXiv 1908.10084)."""

    needs = "labels"


class Cosent(Loss):
    """Ranks graded pairs of a data set by their cosine (CoSENT, doi 10.1109/TASLP.2024.3402087)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


class Angle(Loss):
    """Ranks graded pairs of a data set by an angle in the complex plane (AnglE, arXiv 2309.12871)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


OBJECTIVES: dict[str, type[Loss]] = {
    "infonce": Infonce,
    "triplet": Triplet,
    "cosine": Cosine,
    "cosent": Cosent,
    "angle": Angle,
}


class _Objectives(Settings):
    """Losses and their settings, summed with their weights. Each is a module of scripts/ascent/objectives."""

    @property
    def chosen(self) -> dict[str, Loss]:
        """The losses that are summed, by name."""
        return {name: loss for name in OBJECTIVES if (loss := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _some_loss(self):
        if not self.chosen:
            raise ValueError("names no loss: name one at least")
        return self

    @model_serializer(mode="wrap")
    def _without_others(self, serialise):
        """Write the chosen losses only, so that a loss more in `OBJECTIVES` changes no settings file."""
        return {name: values for name, values in serialise(self).items() if values is not None}


def _by_name(given: Any) -> Any:
    """Take a name for that loss with its defaults."""
    if isinstance(given, str):
        given = {given: {}}
    return {name: {} if values is None else values for name, values in given.items()} if isinstance(given, dict) else given


Objectives = create_model(
    "Objectives",
    __module__=__name__,
    __base__=_Objectives,
    __doc__=_Objectives.__doc__,
    **{name: (loss | None, Field(None, description=loss.__doc__)) for name, loss in OBJECTIVES.items()},
)
Objective = Annotated[Objectives, BeforeValidator(_by_name, json_schema_input_type=Literal[tuple(OBJECTIVES)] | Objectives)]
