"""Recipes loaded, and checked across their keys."""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from ..errors import AscentError, did_you_mean
from ..files import read_yaml
from ..layout import SHARED_FOLDERS
from ..settings.adapters import SOFT_TOKEN
from ..settings.filters import compared_with
from ..settings.recipe import Config, Recipe
from ..settings.validation import check
from .recipes import Recipes, mteb_tasks
from .trial import SUFFIX, shrink

# Later files are laid over earlier ones, as by the Snakefile.
CONFIG_FILES = ("config/corpora.yaml", "config/models.yaml", "config/config.yaml")


def read_config(*more: str | Path) -> dict:
    """Return the configuration as Snakemake reads it: the catalogue, config.yaml and further files, merged key by key.

    As by Snakemake, files that are not in the working folder are those of the workflow.
    """
    config: dict = {}
    for name in CONFIG_FILES:
        path = Path(name) if Path(name).exists() else Path(__file__).parents[3] / name
        config = _merged(config, read_yaml(path))
    for path in more:
        config = _merged(config, read_yaml(path))
    return config


def _merged(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}


def load_recipes(config: dict, where: str | Path = "configuration") -> Recipes:
    """Load and check the configuration and every recipe that it names."""
    checked = check(Config, config, where)
    recipes = {}
    for name in checked.recipes:
        if name in SHARED_FOLDERS:
            raise AscentError(f"{where}: a recipe cannot be called '{name}', the name of another folder of results; rename it.")
        path = Path(checked.recipe_folder) / f"{name}.yaml"
        if not path.exists():
            known = sorted(file.stem for file in Path(checked.recipe_folder).glob("*.yaml"))
            raise AscentError(f"{where}: there is no recipe '{name}' ({path}); {did_you_mean(name, known)}")
        recipe = check(Recipe, read_yaml(path), path)
        _check_recipe(checked, recipe, path)
        if checked.trial:
            recipe, name = shrink(recipe, checked.trial, checked.corpora, path), name + SUFFIX
            _check_recipe(checked, recipe, path)
        recipes[name] = recipe
    loaded = Recipes(checked, recipes)
    for name, recipe in recipes.items():
        for stage, settings in recipe.stages.items():
            contract = loaded.contract(name, stage)
            for key, problem in settings.problems(recipe.base, recipe.data, contract):
                raise AscentError(f"{loaded._path(name)}: 'stages.{stage}.{key}' {problem}.")
        _check_soft_tokens(loaded, name)
    return loaded


def _check_soft_tokens(loaded: Recipes, name: str) -> None:
    """Reject prompts with soft tokens that the base does not have."""
    recipe, path = loaded.recipes[name], loaded._path(name)

    def used(*prompts: str) -> set[str]:
        return set(re.findall(SOFT_TOKEN.format(r"\d+"), "".join(prompts)))

    for stage in ["base", *recipe.stages]:
        contract = loaded.contract(name, stage)
        every = used(*(text for tasks in contract.prompts.values() for text in tasks.values()))
        unknown = sorted(every - {SOFT_TOKEN.format(index) for index in range(recipe.base.soft_tokens)})
        if unknown:
            raise AscentError(
                f"{path}: a prompt of stage '{stage}' holds '{unknown[0]}', but base.soft_tokens is {recipe.base.soft_tokens}; "
                "raise it, or fix the prompt."
            )


def _check_recipe(config: Config, recipe: Recipe, path: Path) -> None:
    def known(word: str, words, what: str, key: str) -> None:
        if word not in words:
            raise AscentError(f"{path}: '{key}' names {what} '{word}', which is not there; {did_you_mean(word, list(words))}")

    stages = {"base": None, **recipe.stages}
    if "base" in recipe.stages:
        raise AscentError(f"{path}: 'stages.base' is the name of the model before training; call the stage something else.")
    known(recipe.base.model, config.models, "the model", "base.model")
    for name, dataset in recipe.data.items():
        known(dataset.corpus, config.corpora, "the corpus", f"data.{name}.corpus")
        for each in compared_with(dataset.filters):
            if each not in config.corpora:
                words = [*config.corpora, *mteb_tasks()["tasks"], *mteb_tasks()["benchmarks"]]
                known(each, words, "the corpus or task", f"data.{name}.filters")
        if dataset.teacher:
            known(dataset.teacher.model, config.models, "the model", f"data.{name}.filters")
    names = {"stage": stages, "data set": recipe.data, "model": config.models}
    graph = {}
    for name, stage in recipe.stages.items():
        graph[name] = set()
        for key, what, named in stage.references():
            known(named, names[what], f"the {what}", f"stages.{name}.{key}")
            graph[name] |= {named} if what == "stage" else set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AscentError(f"{path}: the stages go in a circle ({' <- '.join(error.args[1])}); change a 'from'.") from None
    for stage in recipe.evaluate.stages:
        known(stage, stages, "the stage", "evaluate.stages")
    for name, task in recipe.evaluate.tasks.items():
        known(task.corpus, config.corpora, "the corpus", f"evaluate.tasks.{name}.corpus")
        for kind in getattr(task, "rank_by", {}):
            known(kind, ["dense", *recipe.base.heads.per_token], "the score", f"evaluate.tasks.{name}.rank_by")
    if recipe.evaluate.mteb_tasks or recipe.evaluate.benchmarks:
        mteb = mteb_tasks()
        for name in recipe.evaluate.mteb_tasks:
            known(name, mteb["tasks"], "the task", "evaluate.mteb_tasks")
        for name in recipe.evaluate.benchmarks:
            known(name, mteb["benchmarks"], "the benchmark", "evaluate.benchmarks")
    known(recipe.release.stage, recipe.evaluate.stages, "the evaluated stage", "release.stage")
