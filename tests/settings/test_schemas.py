"""The schemas and docs/reference.md are those of the models, and the documents' YAML is accepted by both."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from ascent.files import read_yaml
from ascent.recipes.descriptions import descriptions
from ascent.recipes.loading import CONFIG_FILES, load_recipes, read_config
from ascent.recipes.own_contracts import with_own_contracts
from ascent.recipes.schemas import config_schema, recipe_schema, reference_text, schema_text
from ascent.settings.base import Settings
from ascent.settings.recipe import Config, Recipe
from ascent.settings.validation import check
from support.small_recipe import ROOT

CONFIG = ROOT / "config"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")]
# The first line of a part of a recipe in a document. Other blocks name their file: config.yaml in parts, recipes whole.
PART = "Part of a recipe."
SCHEMAS = {"config": config_schema(), "recipe": recipe_schema()}


def complaints(kind: str, values) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(values)]


def models(parent: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for model in parent.__subclasses__():
        yield model
        yield from models(model)


def blocks(document: Path) -> list[tuple[str, dict]]:
    """The YAML of a document: its first line, which says what it is, and its values."""
    found = re.findall(r"^```yaml\n# (.+?)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == document.read_text().count("```yaml"), "a block's first line does not say what it is"
    return [(title, yaml.safe_load(text)) for title, text in found]


def over(below, above):
    """Lay values over others, key by key, as Snakemake does with config files."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: over(below.get(key), value) for key, value in above.items()}}


# What a part of a recipe in a document is laid over.
WHOLE = {
    "base": {"model": "m"},
    "data": {"questions": {"corpus": "c"}},
    "stages": {"contrastive": {"objective": "infonce", "data": ["questions"]}},
    "evaluate": {"stages": ["base"]},
    "release": {"stage": "base", "name": "a/b", "licence": "mit", "languages": ["en"], "summary": "s"},
}


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_parts_of_recipes_in_documents_are_accepted(document):
    """Recipes are checked against the settings' classes; names of corpora and data sets are the reader's own."""
    for title, part in blocks(document):
        if title == PART:
            for key in ("base", "evaluate"):
                part[key] = WHOLE[key] | part.get(key, {})
            where, models = f"{document.name}: {part}", check(Config, read_config(), "config").models
            check(Recipe, with_own_contracts(WHOLE | part, models, where), where)


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
    assert model.model_fields.keys() == descriptions(model).keys()


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


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_in_documents_are_accepted(document, tmp_path):
    """Blocks of config.yaml and of the catalogue are laid over them; recipes are complete, and build."""
    config = read_config()
    files = [(title, values) for title, values in blocks(document) if title != PART]
    for values in (values for title, values in files if title in CONFIG_FILES):
        config = over(config, values)
    assert complaints("config", config) == []
    recipes = {Path(title).stem: values for title, values in files if title.startswith("config/recipes/")}
    assert len(files) == len(recipes) + sum(title in CONFIG_FILES for title, _ in files), (
        "a block names no file of config/"
    )
    for name, values in recipes.items():
        assert complaints("recipe", values) == []
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        assert load_recipes({**config, "recipes": [name], "recipe_folder": str(tmp_path)}).recipes
