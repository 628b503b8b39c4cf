"""The base classes of settings, the types that they share, and components that a recipe chooses by name.

A component (a loss, a filter, a source, ...) is one class here in settings/, its settings, and one file of the same
name with its code: the class `MarginMse(Loss)` belongs to losses/margin_mse.py. No list names them. A recipe chooses

    one of several by `type:`             one_of(Adapter)
    several, a map from name to settings  some_of(Loss)
    several in order, a list              list[by_name(some_of(Filter, "OneFilter", One))]
"""

import re
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_serializer,
    model_validator,
)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
# A YAML list of two.
Range = Annotated[tuple[Count, Count], Field(strict=False)]
Seed = Annotated[int, Field(ge=0)]
# Patterns, which validation.py has words for. Names become parts of paths.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
ORGANISATION_AND_NAME = r"^[^/\s]+/[^/\s]+$"
COMMIT = r"^[0-9a-f]{40}$"
ARXIV = r"^\d{4}\.\d{4,5}$"
Name = Annotated[str, Field(pattern=NAME)]
Split = Literal["train", "validation", "test"]


def _each_once(names: list[str]) -> list[str]:
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"names {repeated[0]} twice; name it once")
    return names


# Different names, in order.
Names = Annotated[list[Name], AfterValidator(_each_once)]


class Settings(BaseModel):
    """Frozen settings: unknown keys are errors, nothing is converted. A docstring under a field is its description,
    which recipes/descriptions.py reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Component(Settings):
    """Settings of something that a recipe chooses by name. Each kind of component is a subclass that names its
    folder."""

    folder: ClassVar[str]
    """The library's package with one module per component of this kind, such as `losses`."""
    abstract: ClassVar[bool] = False
    """Whether the class itself is only a base of components."""

    @classmethod
    def component(cls) -> str:
        """Return the component's name, which is also its module's: `margin_mse` for the class MarginMse."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


C = TypeVar("C", bound=Component)


def components(kind: type[C]) -> dict[str, type[C]]:
    """Return all components of a kind by name, in the order of their definition."""
    found = {}
    for component in kind.__subclasses__():
        found |= {} if "abstract" in vars(component) else {component.component(): component}
        found |= components(component)
    return found


def one_of(kind: type[Component], default: str | None = None) -> Any:
    """Return the type of one component of a kind, which says by `type` which one it is; if omitted, the default."""
    union = Annotated[reduce(or_, components(kind).values()), Field(discriminator="type")]

    def typed(given: Any) -> Any:
        return {"type": default, **given} if isinstance(given, dict) else given

    return Annotated[union, BeforeValidator(typed, json_schema_input_type=union)] if default else union


class _Quoting(yaml.SafeDumper):
    """Writes texts of several lines as one, in double quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_Quoting.add_representer(str, _text)


def as_written(values: Any, *, flow: bool = True) -> str:
    """Return values as one line of YAML, for a message that shows how to write them. flow: else in as many as it
    takes."""
    options = {"sort_keys": False, "allow_unicode": True, "width": 10_000}
    return yaml.dump(values, Dumper=_Quoting, default_flow_style=flow, **options).strip()


class Choice(Settings):
    """Components by name, each with its settings. Those that a recipe does not name are None."""

    @property
    def chosen(self) -> dict[str, Any]:
        """The components that are named, in the order of the fields."""
        return {name: part for name in type(self).model_fields if (part := getattr(self, name)) is not None}

    @model_serializer(mode="wrap")
    def _without_others(self, serialise):
        """Write the named components only, so that adding a component to the library changes no settings file."""
        return {name: values for name, values in serialise(self).items() if values is not None}


class One(Choice):
    """One item of a list: a map from its name to its settings. A name alone stands for its defaults."""

    @model_validator(mode="after")
    def _one(self):
        if len(self.chosen) != 1:
            named = ", ".join(self.chosen) or "none"
            kind = type(self).__name__.removeprefix("One").lower()
            raise ValueError(
                f"an item of the list is one {kind}, and this one names {named}; write each behind its own dash"
            )
        return self

    @property
    def settings(self) -> Any:
        """The component's settings."""
        (settings,) = self.chosen.values()
        return settings


def some_of(kind: type[Component], name: str, base: type[Choice] = Choice) -> type[Choice]:
    """Return a Choice called `name` with one field per component of a kind."""
    fields = {key: (part | None, Field(None, description=part.__doc__)) for key, part in components(kind).items()}
    return create_model(name, __base__=base, __module__=kind.__module__, __doc__=base.__doc__, **fields)


def by_name(choice: type[Choice]) -> Any:
    """Return the type of a Choice that may also be written as one name, or with nothing after a name."""

    def spelled_out(given: Any) -> Any:
        if isinstance(given, str):
            given = {given: {}}
        return {key: {} if part is None else part for key, part in given.items()} if isinstance(given, dict) else given

    names = Literal[tuple(choice.model_fields)]
    return Annotated[choice, BeforeValidator(spelled_out, json_schema_input_type=names | choice)]
