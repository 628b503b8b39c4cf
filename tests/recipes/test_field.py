"""The recipes of config/recipes: all are right, their page is theirs, and each is what its opening comment says."""

import re

import pytest

from ascent.files import read_yaml
from ascent.recipes.loading import load_recipes, read_config
from ascent.recipes.recipes import Recipes
from ascent.recipes.side_by_side import recipes_text
from ascent.recipes.step_settings import PATTERNS, settings_files
from support.small_recipe import ROOT

FOLDER = ROOT / "config" / "recipes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
FIELD = [name for name in NAMES if "paper" in read_yaml(FOLDER / f"{name}.yaml")]


@pytest.fixture(scope="module")
def every() -> Recipes:
    """All recipes at once, as `recipes: [...]` loads them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_recipes(read_config() | {"recipes": NAMES})


@pytest.mark.slow
def test_all_recipes_are_right_together_and_have_a_settings_file_for_each_step(every):
    files = settings_files(every)
    assert {f"results/{name}/release.yaml" for name in NAMES} <= files.keys()
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", pattern)) for pattern in PATTERNS]
    assert [path for path in files if sum(bool(pattern.fullmatch(path)) for pattern in patterns) != 1] == []


@pytest.mark.slow
def test_a_trial_of_every_recipe_lies_apart():
    corpus = {"retrieval": "insuranceqa", "classification": "insuranceqa", "sts": "simlex"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = read_config() | {"recipes": NAMES, "trial": {"steps": 2, "corpus": corpus}}
        files = settings_files(load_recipes(config))
    assert {f"results/{name}-trial/release.yaml" for name in NAMES} <= files.keys()
    assert [path for path in files if path.startswith(tuple(f"results/{name}/" for name in NAMES))] == []


def test_their_page_is_the_committed_one():
    same = (ROOT / "docs" / "recipes.md").read_text() == recipes_text(FOLDER)
    assert same, "docs/recipes.md is out of date; run `make schemas`"


@pytest.mark.parametrize("name", FIELD)
def test_a_recipe_of_the_field_cites_its_paper_and_says_what_is_published(name):
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    comment = [line for line in lines[: lines.index("paper:")] if line]
    assert len(comment) >= 3 and all(line.startswith("# ") for line in comment)
    assert f"arXiv {read_yaml(FOLDER / f'{name}.yaml')['paper']['arxiv']}" in " ".join(comment)
    assert 40 <= len(lines) <= 80


def test_what_the_field_needs_can_be_planned_before_it_is_retrieved(every):
    """Every corpus that stages learn from has a size, and every model of a hub a shape."""
    for name, recipe in every.recipes.items():
        corpora, models = [
            [known[part] for part in parts if known[part].source.type == "hub"]
            for parts, known in zip(recipe.made_of, (every.config.corpora, every.config.models), strict=True)
        ]
        assert all(corpus.size for corpus in corpora) and all(model.shape for model in models), name


def test_a_task_that_mteb_knows_has_one_settings_file_for_all_recipes(every):
    """All recipes with a benchmark of a hundred tasks would else have a hundred files, and jobs that write them,
    each."""
    evaluated = [(name, task) for name in NAMES for task in every.registered_tasks(name)]
    paths = {every.task_settings[pair] for pair in evaluated}
    assert len(evaluated) > 5 * len(paths)
    different = {every.tasks(name)[task].model_dump_json() for name, task in evaluated}
    assert len(paths) == len(different)
