"""Settings read from YAML and written to it, with errors of one sentence."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import AscentError, did_you_mean
from ..files import read_yaml
from .base import ARXIV, COMMIT, NAME, ORGANISATION_AND_NAME, as_written

S = TypeVar("S", bound=BaseModel)
# libyaml is five times as fast as PyYAML's own emitter, and breaks nothing but long texts in double quotes elsewhere.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def check(kind: type[S], values: Any, where: str | Path | Callable[[list[str]], str | Path]) -> S:
    """Return settings made from plain values. The first error becomes one sentence that names `where` and the key.

    where: the file, or a function that returns the file in which some keys stand, one in the other.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise AscentError(_error_message(kind, error, where)) from None


def load(kind: type[S], path: str | Path) -> S:
    """Read settings from a YAML file."""
    return check(kind, read_yaml(path), path)


def dump(settings: BaseModel) -> str:
    """Return settings as YAML text, complete and in a fixed order."""
    return _as_text(settings.model_dump(mode="json", by_alias=True))


def chosen(settings: BaseModel) -> str:
    """Return those settings as YAML text that are not defaults."""
    return _as_text(settings.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True))


def _as_text(values: Any) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


# Pydantic's error types for a value of the wrong shape, and the right shape in words.
_SHAPES = {"list_type": "a list", "tuple_type": "a list", "dict_type": "a map"}
_SHAPES |= dict.fromkeys(("model_type", "model_attributes_type"), "a map of settings")
_SHAPES |= dict.fromkeys(("int_type", "int_from_float"), "a whole number")
_SHAPES |= {"float_type": "a number", "string_type": "text", "bool_type": "true or false"}
# Patterns of settings in words.
_PATTERNS = {
    NAME: "letters, digits, '-' and '_', first a letter or a digit",
    ORGANISATION_AND_NAME: "organisation/name, without spaces",
    COMMIT: "a commit, 40 digits from 0 to f",
    ARXIV: "a number of arXiv in quotes, such as '2309.07597'",
}


def _error_message(kind: type[BaseModel], error: ValidationError, where: str | Path | Callable) -> str:
    # Name an unknown key first: a misspelled key is often the cause of a missing one.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = _keys_of(kind, first["loc"])
    key = f"'{'.'.join(path)}'" if path else "the whole"
    where = where(path) if callable(where) else where
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key {key}; {did_you_mean(path[-1], _known_keys(kind, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{where}: {key} is missing; add it."
    if first["type"] == "union_tag_not_found":
        return f"{where}: {key} lacks {first['ctx']['discriminator']}, which says what kind it is; add it."
    if first["type"] == "union_tag_invalid":
        word, known = first["ctx"]["tag"], re.findall(r"'([^']*)'", first["ctx"]["expected_tags"])
        name = ".".join([*path, first["ctx"]["discriminator"].strip("'")])
        return f"{where}: '{name}' is '{word}'; {did_you_mean(word, known)}"
    if first["type"] in _SHAPES:
        # The configuration is read by Snakemake, whose YAML 1.1 takes a number without a point for a word.
        power = re.fullmatch(r"([-+]?\d+)(e[-+]?\d+)", str(first["input"]), re.IGNORECASE)
        fix = f": write {power[1]}.0{power[2]}" if power and first["type"] == "float_type" else ""
        return f"{where}: {key} is {shown(first['input'])}, but it should be {_SHAPES[first['type']]}{fix}."
    if first["type"] == "too_short":
        return f"{where}: {key} is {shown(first['input'])}, but it should name at least {first['ctx']['min_length']}."
    if first["type"] == "string_pattern_mismatch":
        return f"{where}: {key} is {shown(first['input'])}, but it should be {_PATTERNS[first['ctx']['pattern']]}."
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if first["type"] == "value_error":
        return f"{where}: {key}: {message}."
    return f"{where}: {key} is {shown(first['input'])}, but {message.replace('input should', 'it should')}."


def shown(value: Any) -> str:
    """Return a value as YAML writes it, shortened."""
    text = repr(value) if isinstance(value, str) else as_written(value).removesuffix("...").strip()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_of(kind: type[BaseModel], location: tuple) -> list[str]:
    """Return the keys of an error's path, without the branches of unions that pydantic puts between them."""
    keys, node = [], kind.model_json_schema(by_alias=True)
    definitions = node.get("$defs", {})
    for part in location:
        if part == "[key]":  # the key itself is wrong; the rest of the path names types
            break
        if str(part).endswith("]"):  # a type that the value does not have
            continue
        node, is_branch = _descend(node, part, definitions)
        if not is_branch:
            keys.append(str(part))
    return keys


def _known_keys(kind: type[BaseModel], location: tuple) -> list[str]:
    node = kind.model_json_schema(by_alias=True)
    definitions = node.get("$defs", {})
    for part in location:
        node, _ = _descend(node, part, definitions)
    return list(_resolve(node, definitions).get("properties", {}))


def _resolve(node: dict, definitions: dict) -> dict:
    """Follow references; of an optional setting, return its model's schema."""
    models = [branch for branch in node.get("anyOf", []) if "$ref" in branch]
    while "$ref" in node or (len(models) == 1 and "anyOf" in node):
        node = models[0] if "anyOf" in node else definitions[node["$ref"].rsplit("/", 1)[1]]
    return node


def _descend(node: dict, part: str | int, definitions: dict) -> tuple[dict, bool]:
    """Return the schema one step down an error's path, and whether the step named a branch of a union, which is not
    a key."""
    node = _resolve(node, definitions)
    for union in [node, *node.get("anyOf", [])]:
        mapping = union.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            return {"$ref": mapping[part]}, True
    if part in node.get("properties", {}):
        return node["properties"][part], False
    kind = "array" if isinstance(part, int) else "object"  # a list of names, or a map
    node = next((branch for branch in node.get("anyOf", []) if branch.get("type") == kind), node)
    below = node.get("items") if isinstance(part, int) else node.get("additionalProperties")
    if not isinstance(below, dict):  # names that must match a pattern
        below = next(iter(node.get("patternProperties", {}).values()), None)
    return (below if isinstance(below, dict) else {}), False
