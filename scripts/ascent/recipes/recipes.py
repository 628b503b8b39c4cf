"""Recipes as rules and other modules ask for them.

Nothing here imports torch or uses a network: every cluster job parses the workflow again.
"""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .. import layout
from ..errors import AscentError
from ..files import digest_of
from ..settings.evaluation import TaskSettings
from ..settings.filters import Contamination, OneFilter, compared_with, counted_by
from ..settings.leaks import LeakCheck, Methods
from ..settings.model import Contract
from ..settings.mteb_tasks import mteb_tasks
from ..settings.pairs import Dataset
from ..settings.recipe import Config, Recipe
from ..settings.stages import StageSettings
from ..settings.training import Stage
from ..settings.validation import dump
from .dataset_steps import DatasetSteps, Measuring, Step, dataset_steps
from .trial import SUFFIX


def not_runnable(task: str) -> str | None:
    """Return why a task that mteb knows cannot be run, in words after 'is': private, or about other things than
    text."""
    kind = mteb_tasks()["tasks"][task]
    if not kind.get("is_public", True):
        return "private"
    return f"a task of {' and '.join(kind['modalities'])}" if "modalities" in kind else None


def benchmark_tasks(benchmark: str) -> dict[str, dict]:
    """Return the tasks of a benchmark that can be run, each with the subsets and splits that it uses if not all."""
    return {name: part for name, part in mteb_tasks()["benchmarks"][benchmark].items() if not not_runnable(name)}


def of_workflow(path: str) -> Path:
    """Return a path of the working folder, or if it is not there, as for Snakemake's own files, the workflow's."""
    own = Path(__file__).parents[3] / path
    return own if own.exists() and not Path(path).exists() else Path(path)


@dataclass(frozen=True)
class Recipes:
    """The configuration and its recipes, with everything that other parts of the workflow ask of them."""

    config: Config
    recipes: dict[str, Recipe]

    def dataset(self, recipe: str, name: str) -> Dataset:
        """Return a data set of a recipe."""
        return self.recipes[recipe].data[name]

    def steps(self, recipe: str, name: str) -> DatasetSteps:
        """Return the steps of a data set of a recipe."""
        return self._steps[recipe, name]

    @property
    def all_steps(self) -> list[DatasetSteps]:
        """The steps of all data sets of all recipes."""
        return list(self._steps.values())

    @cached_property
    def passes_by_key(self) -> dict[str, tuple[DatasetSteps, Step]]:
        """The passes of all data sets with all their steps, by the names of the passes' result folders."""
        return {step.key: (steps, step) for steps in self.all_steps for step in steps.passes}

    @cached_property
    def measures_by_key(self) -> dict[str, tuple[DatasetSteps, Measuring]]:
        """What is measured of all data sets' rows, with their steps, by the names of the result folders."""
        return {measure.key: (steps, measure) for steps in self.all_steps for measure in steps.measures}

    def parts(self, corpus: str) -> int:
        """Return in how many parts a corpus, and each data set of it, is worked on."""
        return self.config.corpora[corpus].parts

    def pair_files(self, recipe: str, name: str) -> list[str]:
        """Return the files of a data set's training pairs, in order."""
        steps = self.steps(recipe, name)
        return layout.parts_of(layout.FILTERED, self.parts(steps.dataset.corpus), folder="pairs", key=steps.key)

    def corpus_files(self, pattern: str, corpus: str) -> list[str]:
        """Return the files of a corpus's parts, in order: its pairs, documents or audits."""
        return layout.parts_of(pattern, self.parts(corpus), corpus=corpus)

    @cached_property
    def _steps(self) -> dict[tuple[str, str], DatasetSteps]:
        return {
            (recipe, name): dataset_steps(name, self._with_tasks(self._without_leaks(recipe, dataset)))
            for recipe, settings in self.recipes.items()
            for name, dataset in settings.data.items()
        }

    def _without_leaks(self, recipe: str, dataset: Dataset) -> Dataset:
        """Return the data set with a filter, its last, that drops what the recipe's leak check would find by the
        methods that drop."""
        dropped = self.dropped_leaks(recipe)
        if dropped is None:
            return dataset
        return dataset.model_copy(update={"filters": [*dataset.filters, OneFilter(contamination=dropped)]})

    def dropped_leaks(self, recipe: str) -> Contamination | None:
        """Return what drops the texts that the recipe's leak check would find by the methods that drop, if any do."""
        methods = {name: method.compared() for name, method in self.recipes[recipe].leaks if method.test == "drop"}
        against = [*self.evaluation_corpora(recipe), *self.registered_tasks(recipe)]
        return Contamination(against=against, methods=Methods(**methods)) if methods else None

    def _with_tasks(self, dataset: Dataset) -> Dataset:
        """Return the data set with each benchmark that its filters name replaced by the benchmark's tasks."""
        corpora, benchmarks = self.config.corpora, mteb_tasks()["benchmarks"]

        def tasks_of(name: str) -> list[str]:
            return list(benchmark_tasks(name)) if name in benchmarks and name not in corpora else [name]

        filters = []
        for each in dataset.filters:
            settings = each.settings
            if settings.needs == "rows":
                against = list(dict.fromkeys(task for name in settings.against for task in tasks_of(name)))
                each = type(each)(**{settings.component(): settings.model_copy(update={"against": against})})
            filters.append(each)
        return dataset.model_copy(update={"filters": filters})

    def source_files(self, kind: str, name: str) -> list[str]:
        """Return the local files that a corpus or a model is retrieved from; a folder counts as its files."""
        source = getattr(self.config, kind)[name].source
        files = []
        for path in source.paths if source.type == "files" else []:
            inside = (
                sorted(str(file) for file in Path(path).rglob("*") if file.is_file()) if Path(path).is_dir() else []
            )
            files += inside or [path]
        return files

    @cached_property
    def local_sources(self) -> list[tuple[str, str]]:
        """Kind and name of the corpora and models that recipes use and whose files are on this machine."""
        used: dict[str, set[str]] = {"corpora": set(), "models": set()}
        for name, recipe in self.recipes.items():
            steps = [self.steps(name, data) for data in recipe.data]
            against = {other for step in steps for other in compared_with(step.dataset.filters)}
            used["corpora"] |= {step.dataset.corpus for step in steps} | against | {*self.evaluation_corpora(name)}
            used["corpora"] |= {*recipe.mined_documents, *recipe.evaluate.searched_documents}
            measuring = {model for step in steps for model in step.dataset.measured_by}
            of_stages = {model for stage in self.trained(name) if (model := recipe.stages[stage].teacher_model)}
            counting = {model for step in steps for model in counted_by(step.dataset.filters)}
            comparing = {recipe.leaks.embedding.encoder.model} if recipe.leaks.embedding.is_used else set()
            used["models"] |= {recipe.base.model} | measuring | of_stages | counting | comparing
        corpora, models = self.config.made_from(sorted(used["corpora"]))
        used = {"corpora": {*corpora}, "models": used["models"] | {*models}}
        found = [
            (kind, name) for kind, names in used.items() for name in sorted(names) if name in getattr(self.config, kind)
        ]
        return [(kind, name) for kind, name in found if getattr(self.config, kind)[name].source.type == "files"]

    def stages(self, rule: str | None = None) -> list[tuple[str, str]]:
        """Return recipe and name of the stages that a rule makes (pretrain, contrastive, finetune or merge), or of all
        stages."""
        stages = [(recipe, *item) for recipe, settings in self.recipes.items() for item in settings.stages.items()]
        return [(recipe, name) for recipe, name, stage in stages if rule in (None, stage.rule)]

    def stages_by_path(self, recipe: str) -> dict[str, Stage]:
        """Return a recipe's stages by the names in the paths of what is made for them: their own, and for several seeds
        the name that stands for all in the paths of their data (any of them, since they differ in the seed)."""
        stages = self.recipes[recipe].stages
        return {stage.data_name(name): stage for name, stage in stages.items()} | stages

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
                f"{self.path(recipe)}: the parents of stage '{stage}' ({', '.join(settings.parents)}) have different "
                "prompts; give the stage its own prompts."
            )
        return first

    def stage_settings(self, recipe: str, stage: str) -> str:
        """Return stage.yaml's text."""
        settings = self.recipes[recipe].stages[stage]
        data = {name: self.dataset(recipe, name) for name in settings.datasets_read}
        return dump(
            StageSettings(
                recipe=recipe,
                name=stage,
                stage=settings,
                contract=self.contract(recipe, stage),
                tasks={name: dataset.task for name, dataset in data.items()},
                prompts={name: dataset.prompts for name, dataset in data.items()},
            )
        )

    @cached_property
    def _tasks(self) -> dict[str, dict[str, TaskSettings]]:
        return {recipe: self._tasks_of(recipe) for recipe in self.recipes}

    def tasks(self, recipe: str) -> dict[str, TaskSettings]:
        """Return the settings of the recipe's evaluation tasks, by name. Cached, because every job asks for them."""
        return self._tasks[recipe]

    def _tasks_of(self, recipe: str) -> dict[str, TaskSettings]:
        """Make the settings of a recipe's evaluation tasks.

        Raises AscentError when two benchmarks take different parts of one task.
        """
        evaluate, tasks = self.recipes[recipe].evaluate, {}
        for name, task in evaluate.tasks.items():
            tasks[name] = TaskSettings(name=name, task=task, language=self.config.corpora[task.corpus].language)
        parts = [(name, {}) for name in evaluate.mteb_tasks]
        parts += [item for benchmark in evaluate.benchmarks for item in benchmark_tasks(benchmark).items()]
        for name, part in parts:
            settings = TaskSettings(name=name, **part)
            if tasks.setdefault(name, settings) != settings:
                raise AscentError(
                    f"{self.path(recipe)}: 'evaluate' names the task '{name}' twice with different parts; "
                    "split the benchmarks into two recipes, or rename the local task."
                )
        return tasks

    @cached_property
    def task_settings(self) -> dict[tuple[str, str], str]:
        """The settings file of each task, by recipe and task."""
        paths = {}
        for recipe in self.recipes:
            for name, settings in self.tasks(recipe).items():
                paths[recipe, name] = layout.TASK_SETTINGS.format(recipe=recipe, task=name)
                if settings.task is None:
                    part = digest_of(settings.model_dump(mode="json", exclude={"name"}))[:8]
                    paths[recipe, name] = layout.REGISTERED_TASK_SETTINGS.format(task=name, key=part)
        return paths

    def evaluation_corpora(self, recipe: str) -> list[str]:
        """Return the corpora that the recipe's local tasks are made of."""
        return sorted({task.corpus for task in self.recipes[recipe].evaluate.tasks.values()})

    def further_pools(self, recipe: str) -> dict[str, list[str]]:
        """Return the corpora that the recipe's local tasks search in, and no task is made of, with the splits of the
        documents."""
        made_of, searched = self.evaluation_corpora(recipe), self.recipes[recipe].evaluate.searched_documents
        return {corpus: splits for corpus, splits in searched.items() if corpus not in made_of}

    def leak_check(self, recipe: str) -> LeakCheck:
        """Return leakage.yaml's settings. The texts of tasks that mteb knows are listed as `test`."""
        local = {task.split for task in self.recipes[recipe].evaluate.tasks.values()}
        registered = self.registered_tasks(recipe)
        return LeakCheck(
            splits=sorted(local | ({"test"} if registered else set())),
            training=[self.steps(recipe, name).key for name in self.training_data(recipe)],
            pools=self.recipes[recipe].mined_documents,
            evaluation=[*self.evaluation_corpora(recipe), *registered],
            searched=self.further_pools(recipe),
            leaks=self.recipes[recipe].leaks,
        )

    def registered_tasks(self, recipe: str) -> list[str]:
        """Return the recipe's evaluation tasks that mteb knows by name."""
        return [name for name, settings in self.tasks(recipe).items() if settings.task is None]

    @property
    def tested_tasks(self) -> list[str]:
        """Names of mteb's tasks whose texts are kept out of training."""
        names = {name for recipe in self.recipes for name in self.registered_tasks(recipe)}
        names |= {name for steps in self.all_steps for name in compared_with(steps.dataset.filters)}
        return sorted(names - self.config.corpora.keys())

    def training_data(self, recipe: str) -> list[str]:
        """Return the data sets that the recipe's stages train on or choose weights by."""
        return sorted({name for stage in self.recipes[recipe].stages.values() for name in stage.datasets_read})

    def trained(self, recipe: str) -> list[str]:
        """Return the recipe's stages that train, in its order."""
        return [name for name, stage in self.recipes[recipe].stages.items() if stage.trains]

    def chosen(self, recipe: str) -> list[str]:
        """Return the recipe's merges with a development set, in its order."""
        return [name for name, stage in self.recipes[recipe].stages.items() if stage.held_out and not stage.trains]

    def parents_compared(self, recipe: str) -> dict[str, list[str]]:
        """Return the evaluated parents of each evaluated stage that does not train; not the base, with which every
        stage is compared."""
        evaluated, stages = self.recipes[recipe].evaluate.stages, self.recipes[recipe].stages
        parents = set(evaluated) - {"base"}
        merged = [name for name in evaluated if name in stages and not stages[name].trains]
        return {name: [parent for parent in stages[name].parents if parent in parents] for name in merged}

    def left_out(self, recipe: str) -> list[str]:
        """Return a sentence for each benchmark of a recipe, evaluated or compared with, whose tasks are not all run."""
        sentences = []
        compared = {name for dataset in self.recipes[recipe].data.values() for name in compared_with(dataset.filters)}
        named = dict.fromkeys(
            [*self.recipes[recipe].evaluate.benchmarks, *sorted(compared - self.config.corpora.keys())]
        )
        for benchmark in (name for name in named if name in mteb_tasks()["benchmarks"]):
            reasons: dict[str, list[str]] = {}
            for task in mteb_tasks()["benchmarks"][benchmark]:
                if reason := not_runnable(task):
                    reasons.setdefault(reason, []).append(task)
            if reasons:
                told = "; ".join(f"{', '.join(tasks)} ({reason})" for reason, tasks in reasons.items())
                sentences.append(f"Left out of {benchmark}: {told}.")
        return sentences

    def pages(self, recipe: str) -> list[str]:
        """Return the files of the recipe's report; curves only where something trains."""
        pages = [layout.OVERVIEW, layout.RADAR, layout.SCORES_PAGE, layout.SIGNIFICANCE_PAGE, layout.AUDITS_PAGE]
        pages = [layout.CURVES, *pages] if self.trained(recipe) else pages
        return [*(page.format(recipe=recipe) for page in pages), *self.data_pages(recipe)]

    def data_pages(self, recipe: str) -> list[str]:
        """Return the files of the report that show the recipe's data, which are there before anything is trained."""
        pages = [layout.STATISTICS_PAGE] if self.tables(recipe) else []
        samples = [layout.SAMPLES_PAGE.format(recipe=recipe, dataset=name) for name in self.training_data(recipe)]
        pages += [layout.FLOW] if samples else []
        return [*(page.format(recipe=recipe) for page in pages), *samples]

    def corpora_used(self, recipe: str) -> list[str]:
        """Return the corpora that the recipe's stages train on or mine in, or its local tasks are made of or search
        in."""
        trained = {self.dataset(recipe, name).corpus for name in self.training_data(recipe)}
        pools = self.recipes[recipe].mined_documents | self.recipes[recipe].evaluate.searched_documents
        return sorted({*trained, *self.evaluation_corpora(recipe), *pools})

    def tables(self, recipe: str) -> list[str]:
        """Return the folders in results/ of the recipe's corpora and data sets, for layout.STATISTICS."""
        keys = dict.fromkeys(self.steps(recipe, name).key for name in self.training_data(recipe))
        return [*(f"corpora/{name}" for name in self.corpora_used(recipe)), *(f"pairs/{key}" for key in keys)]

    def data_audits(self, recipe: str) -> list[str]:
        """Return the paths of the audits of a recipe's data sets, behind those of their corpora."""
        corpora, own = {self.dataset(recipe, name).corpus for name in self.training_data(recipe)}, []
        for name in self.training_data(recipe):
            steps = self.steps(recipe, name)
            parts = self.parts(steps.dataset.corpus)
            own += layout.parts_of(layout.FILTERED_AUDIT, parts, folder="pairs", key=steps.key)
        return [*(path for name in sorted(corpora) for path in self.corpus_files(layout.CORPUS_AUDIT, name)), *own]

    def audits(self, recipe: str) -> list[str]:
        """Return the paths of all audits of a recipe: its corpora's, its data sets', its negatives', what replaced
        them, and chosen weights."""
        stages = self.recipes[recipe].stages
        paths = [path for name in self.corpora_used(recipe) for path in self.corpus_files(layout.CORPUS_AUDIT, name)]
        paths += self.data_audits(recipe)
        for stage in self.trained(recipe):
            mined = [name for name in stages[stage].data if stages[stage].mines_for(name)]
            made_for = stages[stage].data_name(stage)
            paths += [layout.NEGATIVES_AUDIT.format(recipe=recipe, stage=made_for, dataset=name) for name in mined]
            if mined and stages[stage].mining_used.dynamic:
                paths.append(layout.REPLACEMENTS.format(recipe=recipe, stage=stage))
        paths += [layout.CHOICE.format(recipe=recipe, stage=stage) for stage in self.chosen(recipe)]
        return list(dict.fromkeys(paths))

    def options(self, recipe: str) -> str:
        """Return what follows --config on a command line that builds a recipe as it is here."""
        trial = self.config.trial
        words = [f"recipes=[{self.path(recipe).stem}]"]
        words += [f"trial={json.dumps(trial.model_dump(mode='json', exclude_defaults=True))}"] if trial else []
        return shlex.join(words)

    def path(self, recipe: str) -> Path:
        """Return a recipe's file."""
        return of_workflow(self.config.recipe_folder) / f"{self._whole(recipe)}.yaml"

    def answers(self, corpus: str) -> str:
        """Return the file of the answers for a corpus, which a trial's copy of it shares."""
        return layout.ANSWERS.format(corpus=self._whole(corpus))

    def _whole(self, name: str) -> str:
        """Return the name of what a trial made a recipe or corpus of."""
        return name.removesuffix(SUFFIX) if self.config.trial else name
