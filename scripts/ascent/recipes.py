"""Recipes, loaded and checked as a whole.

Nothing here imports torch or touches a network: every cluster job parses the workflow again.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from .adapter_settings import SOFT_TOKEN
from .contract_settings import Contract
from .data_settings import Dataset
from .errors import AscentError, did_you_mean
from .files import read_json, read_yaml
from .settings import Recipe, StageSettings, TaskSettings
from .source_settings import Config
from .stage_settings import MergeStage, PretrainStage, Training, TrainStage
from .validation import check, dump

MTEB = Path(__file__).with_name("mteb_tasks.json")
READERS = Path(__file__).with_name("readers")
# Folders of results that belong to no recipe.
_RESERVED = ("corpora", "pairs", "tested")


@cache
def mteb_tasks() -> dict:
    """Return the tasks and benchmarks that mteb knows, from a file: importing mteb takes seconds."""
    return read_json(MTEB)


@dataclass(frozen=True)
class Recipes:
    """The configuration and its recipes. All that other parts ask of them is asked here."""

    config: Config
    recipes: dict[str, Recipe]

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """Data sets of all recipes, by name."""
        return {name: dataset for recipe in self.recipes.values() for name, dataset in recipe.data.items()}

    def source_files(self, kind: str, name: str) -> list[str]:
        """Return the files of this machine that a corpus or a model is retrieved from; a folder stands for its files."""
        source = getattr(self.config, kind)[name].source
        files = []
        for path in source.paths if source.type == "files" else []:
            inside = sorted(str(file) for file in Path(path).rglob("*") if file.is_file()) if Path(path).is_dir() else []
            files += inside or [path]
        return files

    @cached_property
    def stage_names(self) -> list[str]:
        """Names of the stages of all recipes."""
        return sorted({name for recipe in self.recipes.values() for name in recipe.stages})

    def stages(self, kind: str) -> list[str]:
        """Return the names of the stages of a kind, in all recipes: pretrain, contrastive, finetune or merge."""
        stages = [item for recipe in self.recipes.values() for item in recipe.stages.items()]
        return sorted({name for name, stage in stages if kind_of(stage) == kind})

    def contract(self, recipe: str, stage: str) -> Contract:
        """Return the contract of a stage's model: the base's, with the prompts of the nearest stage that sets them.

        Raises AscentError when parents disagree and the stage does not decide.
        """
        base = Contract(**self.recipes[recipe].base.model_dump(include=set(Contract.model_fields)))
        if stage == "base":
            return base
        settings = self.recipes[recipe].stages[stage]
        if settings.prompts is not None:
            return base.model_copy(update={"prompts": settings.prompts})
        first, *others = [self.contract(recipe, parent) for parent in settings.parents]
        if any(other != first for other in others):
            raise AscentError(
                f"{self._path(recipe)}: the parents of stage '{stage}' ({', '.join(settings.parents)}) have different "
                "prompts; give the stage its own prompts."
            )
        return first

    def stage_settings(self, recipe: str, stage: str) -> str:
        """Return stage.yaml's text."""
        settings = self.recipes[recipe].stages[stage]
        tasks = {name: self.datasets[name].task for name in settings.tables} if isinstance(settings, Training) else {}
        contract = self.contract(recipe, stage)
        return dump(StageSettings(recipe=recipe, name=stage, stage=settings, contract=contract, tasks=tasks))

    @cached_property
    def _tasks(self) -> dict[str, dict[str, TaskSettings]]:
        return {recipe: self._tasks_of(recipe) for recipe in self.recipes}

    def tasks(self, recipe: str) -> dict[str, TaskSettings]:
        """Return the settings of the recipe's evaluation tasks, by name; made once, because every job asks for them."""
        return self._tasks[recipe]

    def _tasks_of(self, recipe: str) -> dict[str, TaskSettings]:
        """Make the settings of a recipe's evaluation tasks.

        Raises AscentError when two benchmarks take different parts of one task.
        """
        evaluate, tasks = self.recipes[recipe].evaluate, {}
        for name, task in evaluate.tasks.items():
            tasks[name] = TaskSettings(name=name, task=task, language=self.config.corpora[task.corpus].language)
        parts = [(name, {}) for name in evaluate.mteb_tasks]
        parts += [item for benchmark in evaluate.benchmarks for item in mteb_tasks()["benchmarks"][benchmark].items()]
        for name, part in parts:
            settings = TaskSettings(name=name, **part)
            if tasks.setdefault(name, settings) != settings:
                raise AscentError(
                    f"{self._path(recipe)}: 'evaluate' names the task '{name}' twice with different parts; "
                    "split the benchmarks into two recipes, or rename the local task."
                )
        return tasks

    def evaluation_corpora(self, recipe: str) -> list[str]:
        """Return the corpora that the recipe's local tasks are made of."""
        return sorted({task.corpus for task in self.recipes[recipe].evaluate.tasks.values()})

    def evaluation_splits(self, recipe: str) -> list[str]:
        """Return the splits that the recipe's local tasks evaluate; the texts of other tasks are listed as `test`."""
        local = {task.split for task in self.recipes[recipe].evaluate.tasks.values()}
        return sorted(local | ({"test"} if self.registered_tasks(recipe) else set()))

    def registered_tasks(self, recipe: str) -> list[str]:
        """Return the recipe's evaluation tasks that mteb knows by name."""
        return [name for name, settings in self.tasks(recipe).items() if settings.task is None]

    def decontamination(self, dataset: str) -> list[str]:
        """Return the corpora and mteb's tasks that a data set must not overlap with; a benchmark stands for its tasks."""
        names, corpora = self.datasets[dataset].decontaminate, self.config.corpora
        expanded = ([name] if name in corpora else mteb_tasks()["benchmarks"].get(name, [name]) for name in names)
        return list(dict.fromkeys(each for part in expanded for each in part))

    @property
    def tested_tasks(self) -> list[str]:
        """Names of mteb's tasks whose texts are kept out of training."""
        names = {name for recipe in self.recipes for name in self.registered_tasks(recipe)}
        names |= {name for dataset in self.datasets for name in self.decontamination(dataset)}
        return sorted(names - self.config.corpora.keys())

    def training_data(self, recipe: str) -> list[str]:
        """Return the data sets that the recipe's stages train on, or choose weights by."""
        stages = self.recipes[recipe].stages
        return sorted({name for stage in self.trained(recipe) for name in stages[stage].tables})

    def trained(self, recipe: str) -> list[str]:
        """Return the recipe's stages that train, in its order."""
        return [name for name, stage in self.recipes[recipe].stages.items() if isinstance(stage, Training)]

    def pages(self, recipe: str) -> list[str]:
        """Return the files of the recipe's report; curves only where something trains."""
        pages = ["radar.svg", "scores.html", "significance.html", "audits.html"]
        return ["curves.svg", *pages] if self.trained(recipe) else pages

    def audits(self, recipe: str) -> list[str]:
        """Return the paths of all audits of a recipe: its corpora's, its data sets', its negatives' and what replaced them."""
        stages = self.recipes[recipe].stages
        trained = {self.datasets[name].corpus for name in self.training_data(recipe)}
        corpora = sorted(trained | set(self.evaluation_corpora(recipe)))
        paths = [f"results/corpora/{name}/audit.json" for name in corpora]
        paths += [f"results/pairs/{name}/audit.json" for name in self.training_data(recipe)]
        for stage in self.trained(recipe):
            mined = [name for name in stages[stage].data if stages[stage].mined(name)]
            paths += [f"results/{recipe}/{stage}/negatives/{name}.audit.json" for name in mined]
            if mined and stages[stage].mining.dynamic:
                paths.append(f"results/{recipe}/{stage}/replacements.json")
        return paths

    def _path(self, recipe: str) -> Path:
        return Path(self.config.recipe_folder) / f"{recipe}.yaml"


def kind_of(stage: Training | MergeStage) -> str:
    """Return a stage's kind, which is also the name of the rule that makes it."""
    if isinstance(stage, MergeStage):
        return "merge"
    if isinstance(stage, PretrainStage):
        return "pretrain"
    return "finetune" if stage.mining else "contrastive"


def load_recipes(config: dict, where: str | Path = "config/config.yaml") -> Recipes:
    """Load and check the configuration and every recipe that it names."""
    checked = check(Config, config, where)
    recipes = {}
    readers = [file.stem for file in READERS.glob("*.py") if file.stem != "__init__"]
    for name, corpus in checked.corpora.items():
        if corpus.reader not in readers:
            raise AscentError(f"{where}: 'corpora.{name}.reader' is '{corpus.reader}'; {did_you_mean(corpus.reader, readers)}")
    for name in checked.recipes:
        if name in _RESERVED:
            raise AscentError(f"{where}: a recipe cannot be called '{name}', the name of another folder of results; rename it.")
        path = Path(checked.recipe_folder) / f"{name}.yaml"
        if not path.exists():
            known = sorted(file.stem for file in Path(checked.recipe_folder).glob("*.yaml"))
            raise AscentError(f"{where}: there is no recipe '{name}' ({path}); {did_you_mean(name, known)}")
        recipes[name] = check(Recipe, read_yaml(path), path)
        _check_recipe(checked, recipes[name], path)
    _check_shared_names(recipes)
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
        for each in dataset.decontaminate:
            if each not in config.corpora:
                words = [*config.corpora, *mteb_tasks()["tasks"], *mteb_tasks()["benchmarks"]]
                known(each, words, "the corpus or task", f"data.{name}.decontaminate")
        if dataset.teacher:
            known(dataset.teacher.model, config.models, "the model", f"data.{name}.teacher.model")
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
        for kind in task.scores:
            known(kind, ["dense", *recipe.base.heads.beside], "the score", f"evaluate.tasks.{name}.scores")
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


def _check_shared_names(recipes: dict[str, Recipe]) -> None:
    """A data set's rows and a stage's rule are found by name, so a name means the same in all recipes of one run."""
    datasets: dict[str, tuple[str, Dataset]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for recipe_name, recipe in recipes.items():
        for name, dataset in recipe.data.items():
            other, same = datasets.setdefault(name, (recipe_name, dataset))
            if same != dataset:
                raise AscentError(f"recipes '{other}' and '{recipe_name}' define the data set '{name}' differently; rename one.")
        for name, stage in recipe.stages.items():
            other, kind = kinds.setdefault(name, (recipe_name, kind_of(stage)))
            if kind != kind_of(stage):
                raise AscentError(
                    f"stage '{name}' is of kind {kind} in recipe '{other}' and {kind_of(stage)} in '{recipe_name}'; rename one."
                )
