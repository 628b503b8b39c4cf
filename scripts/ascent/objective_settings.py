"""The losses that a recipe may name, and each one's settings.

`OBJECTIVES` is the only list of them: the schema of a stage's `objective`, the tables and the error messages are made of it. A
loss's settings but `weight` are the keyword arguments of the function of its name in scripts/ascent/objectives.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, create_model, model_serializer, model_validator

from .settings_base import Positive, Settings


class Loss(Settings):
    """What every loss has."""

    needs: ClassVar[Literal["labels", "negatives"]]
    """What a row must have for the loss to teach anything: a label, or documents to be told from, in the batch or its own."""

    weight: Positive = 1
    """Factor on the loss in the sum of a stage's losses."""


class Cosine(Loss):
    """Squared error of the cosine similarity against the label, of graded pairs (arXiv 1908.10084)."""

    needs = "labels"


class Infonce(Loss):
    """Each query's positive against every other document of the batch (arXiv 1807.03748)."""

    needs = "negatives"

    temperature: Positive = 0.05
    """Similarities are divided by it before the softmax."""
    symmetric: bool = False
    """Also rank the batch's queries for each positive, and average the two losses."""


OBJECTIVES: dict[str, type[Loss]] = {"cosine": Cosine, "infonce": Infonce}


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
