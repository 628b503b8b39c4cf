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
from ..settings.training import PretrainStage, Training, TrainStage
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
        for stage in recipe.stages:
            loaded.contract(name, stage)
        _check_soft_tokens(loaded, name)
        _check_prompts_of_both_sides(loaded, name)
    return loaded


def _check_soft_tokens(loaded: Recipes, name: str) -> None:
    """Refuse prompts with soft tokens that the base has not, and stages that train soft tokens which no text of theirs holds."""
    recipe, path = loaded.recipes[name], loaded._path(name)

    def used(*prompts: str) -> set[str]:
        return set(re.findall(SOFT_TOKEN.format(r"\d+"), "".join(prompts)))

    for stage, settings in {"base": None, **recipe.stages}.items():
        contract = loaded.contract(name, stage)
        every = used(*(text for tasks in contract.prompts.values() for text in tasks.values()))
        unknown = sorted(every - {SOFT_TOKEN.format(index) for index in range(recipe.base.soft_tokens)})
        if unknown:
            raise AscentError(
                f"{path}: a prompt of stage '{stage}' holds '{unknown[0]}', but base.soft_tokens is {recipe.base.soft_tokens}; "
                "raise it, or mend the prompt."
            )
        if not isinstance(settings, TrainStage) or not settings.adapter or settings.adapter.type != "soft_prompt":
            continue
        tokens = [settings.tokenising(contract, recipe.data[dataset].task) for dataset in settings.data]
        if not any(used(each.query_prompt, each.document_prompt) for each in tokens):
            raise AscentError(
                f"{path}: 'stages.{stage}.adapter' trains soft tokens, but no prompt of its data sets' task types holds any; set "
                f"base.soft_tokens and put {SOFT_TOKEN.format(0)} and so on into these prompts."
            )


def _check_prompts_of_both_sides(loaded: Recipes, name: str) -> None:
    """Refuse prompts by which the two copies of a text that is its own positive are told apart."""
    recipe, path = loaded.recipes[name], loaded._path(name)
    for stage, settings in recipe.stages.items():
        for dataset in settings.data if isinstance(settings, TrainStage) else []:
            tokens = settings.tokenising(loaded.contract(name, stage), recipe.data[dataset].task)
            if recipe.data[dataset].positive == "query" and tokens.query_prompt != tokens.document_prompt:
                raise AscentError(
                    f"{path}: the prompts of stage '{stage}' differ by side, but each text of data set '{dataset}' is its own "
                    "positive, which only dropout may tell apart; give both sides the same prompt, or none."
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
    graph = {}
    for name, stage in recipe.stages.items():
        for parent in stage.parents:
            known(parent, stages, "the stage", f"stages.{name}.from")
        graph[name] = set(stage.parents)
        if isinstance(stage, Training):
            if len(stage.parents) != 1:
                raise AscentError(
                    f"{path}: 'stages.{name}.from' has {len(stage.parents)} parents, training starts from one; merge them first."
                )
            for dataset in stage.data:
                known(dataset, recipe.data, "the data set", f"stages.{name}.data")
            if isinstance(stage, PretrainStage) and recipe.base.attention == "causal":
                raise AscentError(
                    f"{path}: 'stages.{name}.objective' predicts a token from both sides of it, but base.attention is causal; "
                    "set it to bidirectional."
                )
            if stage.development:
                known(stage.development.data, recipe.data, "the data set", f"stages.{name}.development.data")
            if stage.mining:
                known(stage.mining.model, stages, "the stage", f"stages.{name}.mining.model")
                graph[name].add(stage.mining.model)
            if stage.teacher_model:
                known(stage.teacher_model, config.models, "the model", f"stages.{name}.teacher.model")
            if stage.of_tokens and not recipe.base.heads.beside:
                raise AscentError(
                    f"{path}: 'stages.{name}.objective' names '{stage.of_tokens[0]}', but the base has no head beside the "
                    "embedding for it; give base.heads lexical, multi_vector or both."
                )
            if isinstance(stage, TrainStage):
                _check_own_positives(recipe, name, stage, path)
                _check_losses(recipe, name, stage, path)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AscentError(f"{path}: the stages go in a circle ({' <- '.join(error.args[1])}); change a 'from'.") from None
    for stage in recipe.evaluate.stages:
        known(stage, stages, "the stage", "evaluate.stages")
    for name, task in recipe.evaluate.tasks.items():
        known(task.corpus, config.corpora, "the corpus", f"evaluate.tasks.{name}.corpus")
        for kind in getattr(task, "rank_by", {}):
            known(kind, ["dense", *recipe.base.heads.beside], "the score", f"evaluate.tasks.{name}.rank_by")
    if recipe.evaluate.mteb_tasks or recipe.evaluate.benchmarks:
        mteb = mteb_tasks()
        for name in recipe.evaluate.mteb_tasks:
            known(name, mteb["tasks"], "the task", "evaluate.mteb_tasks")
        for name in recipe.evaluate.benchmarks:
            known(name, mteb["benchmarks"], "the benchmark", "evaluate.benchmarks")
    known(recipe.release.stage, recipe.evaluate.stages, "the evaluated stage", "release.stage")


def _check_own_positives(recipe: Recipe, name: str, stage: TrainStage, path: Path) -> None:
    """Refuse what teaches or tells nothing of texts that are their own positives."""
    for dataset in (dataset for dataset in stage.tables if recipe.data[dataset].positive == "query"):
        why = f"but each text of data set '{dataset}' is its own positive"
        if stage.dropout == 0:
            raise AscentError(f"{path}: 'stages.{name}.dropout' is 0, {why}, which only dropout tells apart; give it a share.")
        if stage.mined(dataset):
            raise AscentError(f"{path}: 'stages.{name}.mining' finds negatives of pairs, {why}; set mine: false for it.")
        if dataset not in stage.data:
            raise AscentError(f"{path}: 'stages.{name}.development' needs something to find, {why}; name another data set.")


def _check_losses(recipe: Recipe, name: str, stage: TrainStage, path: Path) -> None:
    """Refuse losses that mean nothing as they are asked for."""
    for dataset in stage.data:
        chosen = stage.objective_of(dataset).chosen
        if all(loss.needs == "nothing" for loss in chosen.values()):
            raise AscentError(
                f"{path}: 'stages.{name}.objective' of data set '{dataset}' is a regulariser, {' and '.join(chosen)}; name a "
                "loss beside it."
            )
        if not recipe.base.normalise and any(getattr(loss, "tau_plus", 0) for loss in chosen.values()):
            raise AscentError(
                f"{path}: 'stages.{name}.objective' sets tau_plus, whose correction is for embeddings of length 1, but "
                "base.normalise is false; leave one of them out."
            )
