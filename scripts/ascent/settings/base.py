"""What settings are made of: the frozen model, and what several of them take."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
# Names become parts of paths.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
TaskType = Literal["retrieval", "reranking", "sts", "classification", "clustering", "pair-classification"]
Split = Literal["train", "validation", "test"]


class Settings(BaseModel):
    """Frozen settings: unknown keys are errors, and a docstring under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Choice(Settings):
    """Parts by name, each with settings of its own; a recipe names some of them, and the others are None."""

    @property
    def chosen(self) -> dict[str, Any]:
        """The parts that are named, in the order of the fields."""
        return {name: part for name in type(self).model_fields if (part := getattr(self, name)) is not None}

    @model_serializer(mode="wrap")
    def _without_others(self, serialise):
        """Write the named parts only, so that one more to choose from changes no settings file."""
        return {name: values for name, values in serialise(self).items() if values is not None}


def by_name(given: Any) -> Any:
    """Take a name, or one with nothing behind it, for that part of a Choice with its defaults."""
    if isinstance(given, str):
        given = {given: {}}
    return {name: {} if values is None else values for name, values in given.items()} if isinstance(given, dict) else given
