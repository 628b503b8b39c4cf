"""The schemas and docs/reference.md are those of the models, and the documents' YAML is accepted by both."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from ascent.files import read_yaml
from ascent.recipes.loading import CONFIG_FILES, load_recipes, read_config
from ascent.recipes.schemas import config_schema, recipe_schema, reference_text, schema_text
from ascent.settings.base import Settings
from ascent.settings.recipe import Recipe
from ascent.settings.validation import check
from support.small_recipe import ROOT

CONFIG = ROOT / "config"
DOCUMENTS = ("README.md", "config/README.md", "CONTRIBUTING.md")
SCHEMAS = {"config": config_schema(), "recipe": recipe_schema()}


def complaints(kind: str, values) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(values)]


def models(parent: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for model in parent.__subclasses__():
        yield model
        yield from models(model)


def blocks(document: str) -> list[tuple[str, dict]]:
    """The YAML of a document: the file that its first line names, and its values."""
    found = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    return [(name, yaml.safe_load(text)) for name, text in found]


def over(below, above):
    """Lay values over others, key by key, as Snakemake does with config files."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: over(below.get(key), value) for key, value in above.items()}}


# What a part of a recipe, as docs show it, is laid over.
WHOLE = {
    "base": {"model": "m"},
    "data": {"questions": {"corpus": "c"}},
    "stages": {"contrastive": {"objective": "infonce", "data": ["questions"]}},
    "evaluate": {"stages": ["base"]},
    "release": {"stage": "base", "name": "a/b", "licence": "mit", "languages": ["en"], "summary": "s"},
}


@pytest.mark.parametrize("document", ["docs/methods.md", "docs/training.md"])
def test_the_parts_of_recipes_that_documents_show_are_right(document):
    parts = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    assert parts
    for text in parts:
        part = yaml.safe_load(text)
        part.pop("corpora", None)
        if objective := part.pop("objective", None):
            part["stages"] = {"contrastive": {"objective": objective, "data": ["questions"]}}
        for key in ("base", "evaluate"):
            part[key] = WHOLE[key] | part.get(key, {})
        check(Recipe, WHOLE | part, text)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_valid_and_the_committed_one(kind):
    Draft202012Validator.check_schema(SCHEMAS[kind])
    same = (CONFIG / "schemas" / f"{kind}.schema.yaml").read_text() == schema_text(SCHEMAS[kind])
    assert same, f"config/schemas/{kind}.schema.yaml is out of date; run `make schemas`"


def test_tables_are_the_committed_ones():
    same = (ROOT / "docs" / "reference.md").read_text() == reference_text()
    assert same, "docs/reference.md is out of date; run `make schemas`"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_model_of_a_schema_has_a_table(kind):
    headings = {line.removeprefix("### ") for line in reference_text().splitlines() if line.startswith("### ")}
    models = [name for name, node in SCHEMAS[kind]["$defs"].items() if node.get("properties")]
    missing = {re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize() for name in models} - headings
    assert len(models) > 5
    assert not missing, "models without a table in docs/reference.md; fix ascent/recipes/schemas.py"


def test_every_link_of_the_reference_leads_to_one_heading():
    text = reference_text()
    headings = [line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)


@pytest.mark.parametrize("model", models(), ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_field_is_described(model):
    assert model.__doc__, "the model has no docstring"
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_every_key_of_a_schema_is_described_and_no_other_is_taken():
    for schema in SCHEMAS.values():
        for name, model in {"": schema, **schema["$defs"]}.items():
            assert model["additionalProperties"] is False, name
            assert [key for key, node in model["properties"].items() if not node.get("description")] == [], name


def test_the_committed_files_are_accepted():
    for name in CONFIG_FILES:
        assert complaints("config", read_yaml(ROOT / name)) == [], name
    for recipe in [*(CONFIG / "recipes").glob("*.yaml"), Path(__file__).parents[1] / "support" / "small.yaml"]:
        assert complaints("recipe", read_yaml(recipe)) == [], recipe.name


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("config", ["recipe"], ["demo"]),
        ("config", ["corpora", "lee", "license"], "mit"),
        ("config", ["corpora", "lee", "reader", "type"], "tables"),
        ("config", ["corpora", "lee", "reader", "score"], "similarities.txt"),
        ("config", ["corpora", "insuranceqa", "reader", "slice", "pol"], 3000),
        ("config", ["corpora", "lee", "source", "type"], "pip"),
        ("config", ["models", "all-minilm-l6-v2", "source", "version"], 0.1),
        ("recipe", ["stages", "finetune", "learning_rat"], 1.0e-4),
        ("recipe", ["stages", "finetune", "learning_rate"], 0),
        ("recipe", ["stages", "merge", "learning_rate"], 1.0e-4),
        ("recipe", ["stages", "finetune", "mining", "sampling"], "best"),
        ("recipe", ["base", "prompts"], {"question": {"retrieval": "q: "}}),
        ("recipe", ["evaluate", "tasks", "LeeSTS", "type"], "stss"),
    ],
)
def test_a_typo_is_refused(kind, path, value):
    values = read_config() if kind == "config" else read_yaml(CONFIG / "recipes" / "demo.yaml")
    *folders, key = path
    node = values
    for folder in folders:
        node = node[folder]
    node[key] = value
    assert complaints(kind, values) != []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_yaml_of_the_documents_is_accepted(document, tmp_path):
    """Blocks for config.yaml are laid over it; a block for a recipe that is not complete is laid over the demo's."""
    config, demo = read_config(), read_yaml(CONFIG / "recipes" / "demo.yaml")
    found = blocks(document)
    for values in (values for name, values in found if name in CONFIG_FILES):
        config = over(config, values)
    assert complaints("config", config) == []
    recipes = {Path(name).stem: values for name, values in found if name.startswith("config/recipes/")}
    assert len(found) == (ROOT / document).read_text().count("```yaml"), "a block's first line names no file"
    for name, values in recipes.items():
        values = values if values.keys() >= set(SCHEMAS["recipe"]["required"]) else over(demo, values)
        assert complaints("recipe", values) == []
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        assert load_recipes({**config, "recipes": [name], "recipe_folder": str(tmp_path)}).recipes
