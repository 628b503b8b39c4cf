"""JSON schemas and tables of every setting, made from the settings' models.

The schemas are for editors and readers; the workflow itself checks files against the models.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from ..errors import AscentError
from ..settings.base import Settings
from ..settings.recipe import Config, Recipe
from .descriptions import descriptions

# Sections of the reference: the modules of settings/ in the order of the data. A module that is missing here comes
# last.
SECTIONS = {
    "recipe": "Configuration and recipe",
    "trial": "Trials",
    "corpora": "Corpora and models",
    "sources": "Sources",
    "tables": "Readers of tables",
    "readers": "Other readers",
    "extractors": "Extractors",
    "synthesis": "Rows written by a language model",
    "pairs": "Data sets",
    "filters": "Filters",
    "augmentations": "Augmentations",
    "model": "Prompt contract",
    "heads": "Layers on top of the backbone",
    "adapters": "Adapters",
    "stages": "Stages",
    "training": "Training stages",
    "contrastive": "Contrastive stages",
    "optimisation": "Optimisation and memory",
    "pretraining": "Objectives of pre-training",
    "losses": "Losses of embeddings",
    "merging": "Merging stages",
    "negatives": "Mined negatives",
    "teachers": "Teachers of stages",
    "evaluation": "Evaluation and its tasks",
    "leaks": "Test texts in training",
}
_HEADER = "# Written by `make schemas` from the docstrings in scripts/ascent: edit those instead.\n"
REFERENCE = """# Reference

Every key of `config/config.yaml` and of recipes: its type, default and meaning. `config/README.md` explains how they
fit together. Written by `make schemas` from the docstrings in scripts/ascent/settings: edit those instead.
"""


def config_schema() -> dict[str, Any]:
    """Return the schema of the configuration's files. None of them need be complete: they are laid over each other."""
    schema = _schema(Config)
    del schema["required"]
    return schema


def recipe_schema() -> dict[str, Any]:
    """Return the schema of a recipe."""
    return _schema(Recipe)


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as the text of its file."""
    return _HEADER + yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=120)


def reference_text() -> str:
    """Return docs/reference.md: every key, with a table of contents and one section per module of settings/."""
    places: dict[str, list[str]] = {}
    definitions: dict[str, dict] = {}
    for kind, file in ((Config, "config/config.yaml"), (Recipe, "config/recipes/<recipe>.yaml")):
        schema = _schema(kind)
        definitions |= schema.pop("$defs") | {kind.__name__: schema}
        places[kind.__name__] = [file]
        for name, path in _models(schema, "", definitions, set()):
            places.setdefault(name, []).append(path)
    modules = {name: model.__module__.rsplit(".", 1)[1] for name, model in _by_name().items()}
    sections: dict[str, list[str]] = {module: [] for module in SECTIONS}
    for name in places:
        sections.setdefault(modules[name], []).append(name)
    contents, parts = [], []
    for module, names in sections.items():
        title = SECTIONS.get(module, module.capitalize())
        if names:
            contents.append(f"- {_link(title)}: {', '.join(_link(_words(name)) for name in names)}")
            parts += [f"## {title}\n", *(_entry(name, places[name], definitions[name]) for name in names)]
    return "\n".join([REFERENCE, *contents, "", *parts])


def _entry(name: str, places: list[str], model: dict[str, Any]) -> str:
    """Return a model's heading, where it stands, what it is, and its table."""
    where = ", ".join(f"`{path}`" for path in dict.fromkeys(places))
    return f"### {_words(name)}\n\nAt {where}. {model['description']}\n\n{_table(model)}"


def _subclasses(parent: type[Settings]) -> Iterator[type[Settings]]:
    for model in parent.__subclasses__():
        yield model
        yield from _subclasses(model)


def _by_name() -> dict[str, type[Settings]]:
    """Return all models by the names of their definitions: a name that several have is followed by that of the base."""
    models = list(_subclasses(Settings))
    return {_with_kind(model): model for model in models} | {model.__name__: model for model in models}


def _with_kind(model: type[Settings]) -> str:
    return f"{model.__name__}{model.__bases__[0].__name__}"


def _link(words: str) -> str:
    return f"[{words}](#{words.lower().replace(' ', '-')})"


# ---------------------------------------------------------------- schemas


class _WithoutTitles(GenerateJsonSchema):
    """Pydantic's generator, without the titles that repeat each key in capitals."""

    def field_title_should_be_set(self, schema) -> bool:
        return False


def _schema(model: type[Settings]) -> dict[str, Any]:
    """Return a model's schema."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_WithoutTitles)
    # Pydantic names models of one name by their modules.
    long = {f"{each.__module__}.{each.__name__}".replace(".", "__"): each for each in _subclasses(Settings)}
    text = re.sub(r"\bascent__\w+", lambda name: _with_kind(long[name[0]]), json.dumps(schema))
    schema = json.loads(text)  # no part is shared, so that YAML needs no anchors
    definitions = schema.pop("$defs", {})
    kinds = _by_name()
    for name, definition in {model.__name__: schema, **definitions}.items():
        definition.pop("title", None)
        kind = kinds[name]
        of_keys = {kind.model_fields[field].alias or field: text for field, text in descriptions(kind).items()}
        for key, node in definition.get("properties", {}).items():
            if key in of_keys and "description" not in node:
                definition["properties"][key] = node = dict(sorted({**node, "description": of_keys[key]}.items()))
            # Pydantic leaves out a description that only repeats that of the model it refers to.
            if "description" not in node and "$ref" in node:
                node["description"] = definitions[_target(node)]["description"]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return _one_line(schema | ({"$defs": definitions} if definitions else {}))


def _one_line(node: Any) -> Any:
    """Return a schema whose descriptions have no line breaks."""
    if isinstance(node, list):
        return [_one_line(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _one_line(value)
        for key, value in node.items()
    }


# ---------------------------------------------------------------- tables


def _models(node: Any, path: str, definitions: dict, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield every place that uses a definition as (definition, path of keys), depth first."""
    if isinstance(node, list):
        for item in node:
            yield from _models(item, path, definitions, seen)
    elif isinstance(node, dict):
        if "$ref" in node:
            name = _target(node)
            yield name, path
            if name not in seen:
                seen.add(name)
                yield from _models(definitions[name], path, definitions, seen)
        for key, below in node.get("properties", {}).items():
            yield from _models(below, f"{path}.{key}" if path else key, definitions, seen)
        for below in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
            yield from _models(below, f"{path}.<name>", definitions, seen)
        for key in ("items", "anyOf", "oneOf"):
            yield from _models(node.get(key), path, definitions, seen)


def _table(model: dict[str, Any]) -> str:
    """Return a model's table of keys, those that must be given first. A model without keys says so."""
    required = model.get("required", [])
    keys = sorted(model.get("properties", {}).items(), key=lambda item: item[0] not in required)
    lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"] if keys else ["It has no keys: `{}`."]
    for name, node in keys:
        default = "required" if name in required else _default(node)
        lines.append(f"| `{name}` | {_type(node)} | {default} | {node['description']} |")
    return "\n".join(lines) + "\n"


def _default(node: dict[str, Any]) -> str:
    value = node["default"]
    if value is None:
        return "none"
    if "$ref" in node:
        return "its defaults"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{text.strip().removesuffix('...').strip()}`"


def _type(node: dict[str, Any]) -> str:
    """Return a type in words."""
    branches = [branch for branch in node.get("anyOf", node.get("oneOf", [])) if branch.get("type") != "null"]
    if branches:
        return " or ".join(_type(branch) for branch in branches)
    if "$ref" in node:
        return _link(_words(_target(node)))
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    match node.get("type"):
        case "array" if "prefixItems" in node:
            return (
                f"list of {len(node['prefixItems'])} ({' and '.join(dict.fromkeys(map(_type, node['prefixItems'])))})"
            )
        case "array":
            return f"list of {_type(node['items'])}" + (", not empty" if node.get("minItems") else "")
        case "object" if isinstance(node.get("additionalProperties"), dict):
            names = node.get("propertyNames")
            return f"map from {_type(names) if names else 'name'} to {_type(node['additionalProperties'])}"
        case "object" if "patternProperties" in node:  # names that must match a pattern
            (below,) = node["patternProperties"].values()
            return f"map from name to {_type(below)}"
        case "object":
            return "map"
        case "integer" | "number" as kind:
            limits = {
                "minimum": "at least",
                "exclusiveMinimum": "above",
                "maximum": "at most",
                "exclusiveMaximum": "below",
            }
            return ", ".join([kind, *(f"{words} {node[key]:g}" for key, words in limits.items() if key in node)])
        case "boolean":
            return "`true` or `false`"
        case "string":
            return "text" + (f" like `{node['pattern']}`" if "pattern" in node else "")
    raise AscentError(f"ascent/recipes/schemas.py: no words for the type {node}; add a case.")


def _target(node: dict[str, Any]) -> str:
    return node["$ref"].removeprefix("#/$defs/")


def _words(name: str) -> str:
    """Return a class's name in words: Contrastive is 'Train stage'."""
    return "".join(
        f" {letter.lower()}" if letter.isupper() else letter for letter in name[0].lower() + name[1:]
    ).capitalize()
