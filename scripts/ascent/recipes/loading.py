"""Recipes loaded, and checked across their keys."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AscentError, did_you_mean
from ..files import read_yaml
from ..layout import SHARED_FOLDERS
from ..settings.adapters import SOFT_TOKEN
from ..settings.recipe import Config
from ..settings.validation import check
from .checks import Checks
from .own_contracts import read_recipe
from .recipes import Recipes, mteb_tasks, of_workflow
from .seeds import with_seeds
from .synthesis import check_synthesis
from .trial import SUFFIX, check_trial, shrink, with_little_synthesis

# Later files are laid over earlier ones, as by the Snakefile.
CONFIG_FILES = ("config/corpora.yaml", "config/models.yaml", "config/config.yaml")


def read_files(*more: str | Path) -> dict[Path, Any]:
    """Return what the files of the configuration hold, as Snakemake reads them: the catalogue, config.yaml and further
    files.

    As by Snakemake, files that are not in the working folder are those of the workflow.
    """
    return {path: read_yaml(path) for path in (*map(of_workflow, CONFIG_FILES), *map(Path, more))}


def read_config(*more: str | Path) -> dict:
    """Return the configuration: its files merged key by key."""
    return merged(read_files(*more))


def merged(files: Mapping[Path, Any]) -> dict:
    """Return the configuration of what its files hold, the one laid over all others last."""
    config: dict = {}
    for values in files.values():
        config = _merged(config, values)
    return config


def _merged(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}


def load_recipes(
    config: dict, files: Mapping[str | Path, Any] | None = None, options: dict[str, dict] | None = None
) -> Recipes:
    """Load and check the configuration and every recipe that it names.

    files: what those hold that the configuration was merged from, as read_yaml reads them, the one laid over all others
    last: errors name the file of a wrong value. options: by option of the command line, what it lays over the files."""
    parts = (files or {}).items()

    def where(keys: Sequence[str] = ()) -> str | Path:
        # What stands nowhere is missing in a file.
        given = [(option, values) for option, values in (options or {}).items() if _depth(values, keys)]
        found = max(reversed([*parts, *given]), key=lambda part: _depth(part[1], keys), default=("configuration", None))
        return found[0]

    checked = check(Config, config, where)
    _check_adapters(checked, where)
    _check_mteb_tasks(checked, where)
    check_synthesis(checked, where)
    if checked.trial:
        check_trial(checked.trial, checked, where)
        checked = with_little_synthesis(checked, where)
    recipes = {}
    for name in checked.recipes:
        if name in SHARED_FOLDERS:
            raise AscentError(
                f"{where(['recipes'])}: a recipe cannot be called '{name}', the name of another folder of results;"
                " rename it."
            )
        path = of_workflow(checked.recipe_folder) / f"{name}.yaml"
        if not path.exists():
            known = sorted(file.stem for file in path.parent.glob("*.yaml"))
            raise AscentError(
                f"{where(['recipes'])}: there is no recipe '{name}' ({path}); {did_you_mean(name, known)}"
            )
        recipe = with_seeds(read_recipe(path, checked.models), path)
        Checks(checked, recipe, path).run()
        Checks(checked, recipe, path).templates()
        if checked.trial:
            recipe, name = shrink(recipe, checked.trial, checked.corpora, path), name + SUFFIX
            Checks(checked, recipe, path).run()
        stages = {key: stage.with_defaults(recipe.data) for key, stage in recipe.stages.items()}
        recipes[name] = recipe.model_copy(update={"stages": stages})
    loaded = Recipes(checked, recipes)
    for name, recipe in recipes.items():
        for stage, settings in recipe.stages.items():
            contract = loaded.contract(name, stage)
            for key, problem in settings.problems(recipe.base, recipe.data, contract):
                raise AscentError(f"{loaded.path(name)}: 'stages.{stage}.{key}' {problem}.")
        _check_soft_tokens(loaded, name)
        Checks(checked, recipe, loaded.path(name)).packages()
    return loaded


def _depth(values: Any, keys: Sequence[str]) -> int:
    """Return how many of some keys lead into values, one into the other."""
    depth = 0
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            break
        values, depth = values[key], depth + 1
    return depth


def _check_adapters(config: Config, where: Callable[[Sequence[str]], str | Path]) -> None:
    """Reject an adapter of a model that does not exist, or of another adapter. where: the file of a key."""
    whole = [name for name, model in config.models.items() if model.adapter_of is None]
    for name, model in config.models.items():
        if model.adapter_of is not None and model.adapter_of not in whole:
            raise AscentError(
                f"{where(['models', name, 'adapter_of'])}: 'models.{name}.adapter_of' names '{model.adapter_of}', which"
                f" is not a whole model; {did_you_mean(model.adapter_of, whole)}"
            )


def _check_mteb_tasks(config: Config, where: Callable[[Sequence[str]], str | Path]) -> None:
    """Reject a corpus that names a task which mteb does not know. where: the file of a key."""
    known = mteb_tasks()["tasks"]
    for name, corpus in config.corpora.items():
        for task in corpus.mteb_tasks:
            if task not in known:
                raise AscentError(
                    f"{where(['corpora', name, 'mteb_tasks'])}: 'corpora.{name}.mteb_tasks' names '{task}', which is"
                    f" not a task of mteb; {did_you_mean(task, list(known))}"
                )


def _check_soft_tokens(loaded: Recipes, name: str) -> None:
    """Reject prompts with soft tokens that the base does not have."""
    recipe = loaded.recipes[name]
    prompts = {f"stage '{stage}'": loaded.contract(name, stage).every_prompt for stage in ["base", *recipe.stages]}
    prompts |= {f"data set '{dataset}'": data.prompts.all for dataset, data in recipe.data.items()}
    known = {SOFT_TOKEN.format(index) for index in range(recipe.base.soft_tokens)}
    for what, texts in prompts.items():
        if unknown := sorted(set(re.findall(SOFT_TOKEN.format(r"\d+"), "".join(texts))) - known):
            raise AscentError(
                f"{loaded.path(name)}: a prompt of {what} holds '{unknown[0]}', but base.soft_tokens is "
                f"{recipe.base.soft_tokens}; raise it, or fix the prompt."
            )
