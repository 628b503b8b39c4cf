"""Checks of a recipe across its keys, section by section in the order of the file.

A check raises AscentError at the first thing that is wrong.
"""

from collections.abc import Collection
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

from ..errors import AscentError, did_you_mean
from ..settings.base import Settings
from ..settings.filters import compared_with, counted_by
from ..settings.licences import wider_than
from ..settings.model import Contract
from ..settings.mteb_tasks import mteb_tasks
from ..settings.recipe import Config, Recipe
from ..settings.training import Stage
from .recipes import benchmark_tasks, not_runnable


@dataclass(frozen=True)
class Checks:
    """The checks of one recipe. path: its file, which errors name."""

    config: Config
    recipe: Recipe
    path: Path

    def run(self) -> None:
        """Check all sections."""
        self.base()
        self.data()
        self.stages()
        self.evaluation()
        self.leaks()
        self.release()

    def base(self) -> None:
        """Check that the base model exists."""
        self._known(self.recipe.base.model, self.config.models, "the model", "base.model")

    def templates(self) -> None:
        """Reject a template in which no prompt ever stands. Not of a recipe that a trial has shrunk, whose rows are
        others."""
        base, data = self.recipe.base, self.recipe.data.values()
        prompted = {side for each in data for side in self.config.corpora[each.corpus].reader.prompted()}
        prompted |= {side for each in data for side in ("query", "document") if getattr(each.prompts, side)}
        prompted |= {side for stage in self.recipe.stages.values() for side in stage.prompts or {}} | {*base.prompts}
        if base.contract or base.task_prompts:  # a model's own templates may be left unused; mteb's are a query's
            return
        for side in base.templates.keys() - prompted:
            raise AscentError(
                f"{self.path}: 'base.templates.{side}' has no effect, since no {side} has a prompt to stand in it; add"
                f" base.prompts.{side}, or remove the template."
            )

    def data(self) -> None:
        """Check the corpora of data sets, and what their filters compare with and score by."""
        mteb = mteb_tasks()
        comparable = [*self.config.corpora, *mteb["tasks"], *mteb["benchmarks"]]
        for name, dataset in self.recipe.data.items():
            self._known(dataset.corpus, self.config.corpora, "the corpus", f"data.{name}.corpus")
            passages = self.config.corpora[dataset.corpus].passages
            if passages and passages.model:
                self._known(passages.model, self.config.models, "the model", f"corpora.{dataset.corpus}.passages.model")
            for other in compared_with(dataset.filters):
                self._known(other, comparable, "the corpus or task", f"data.{name}.filters")
                if other not in self.config.corpora:
                    self._runnable(other, f"data.{name}.filters")
            for model in [*counted_by(dataset.filters), *dataset.measured_by]:
                self._known(model, self.config.models, "the model", f"data.{name}.filters")
            for teacher in dataset.teachers:
                self._teacher_s_prompts(teacher, f"data.{name}.filters")
            for key, by in dataset.counted_by_origin.items():
                self._origins(dataset.corpus, by, f"data.{name}.{key}")

    def stages(self) -> None:
        """Check the names that stages refer to, and that no stage depends on itself."""
        if "base" in self.recipe.stages:
            raise AscentError(f"{self.path}: 'stages.base' is the name of the model before training; rename the stage.")
        for name, stage in self.recipe.stages.items():
            self._held_out(name, stage)
            if stage.teacher_model:
                self._teacher_s_prompts(stage.teacher_used, f"stages.{name}.teacher")
        names = {
            "stage": self._models,
            "data set": self.recipe.data,
            "corpus": self.config.corpora,
            "model": self.config.models,
        }
        graph = {name: set() for name in self.recipe.stages}
        for name, stage in self.recipe.stages.items():
            for key, what, referred in stage.references():
                self._known(referred, names[what], f"the {what}", f"stages.{name}.{key}")
                if what == "stage":
                    graph[name].add(referred)
            for dataset in stage.datasets_read:
                self._can_learn(name, stage.with_defaults(self.recipe.data), dataset)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = " <- ".join(error.args[1])
            raise AscentError(
                f"{self.path}: the stages go in a circle ({circle}); change a 'from' or 'mining.model'."
            ) from None

    def evaluation(self) -> None:
        """Check the evaluated stages, and the corpora, scores and names of tasks."""
        evaluate, mteb = self.recipe.evaluate, mteb_tasks()
        for stage in evaluate.stages:
            self._known(stage, self._models, "the stage", "evaluate.stages")
        for name, task in evaluate.tasks.items():
            self._known(task.corpus, self.config.corpora, "the corpus", f"evaluate.tasks.{name}.corpus")
            for corpus in task.pools:
                self._known(corpus, self.config.corpora, "the corpus", f"evaluate.tasks.{name}.documents")
            for score in getattr(task, "rank_by", {}):
                scores = ["dense", *self.recipe.base.heads.per_token]
                self._known(score, scores, "the score", f"evaluate.tasks.{name}.rank_by")
        for name in evaluate.mteb_tasks:
            self._known(name, mteb["tasks"], "the task", "evaluate.mteb_tasks")
            self._runnable(name, "evaluate.mteb_tasks")
        for name in evaluate.benchmarks:
            self._known(name, mteb["benchmarks"], "the benchmark", "evaluate.benchmarks")
            self._runnable(name, "evaluate.benchmarks")
        if not (evaluate.tasks or evaluate.mteb_tasks or evaluate.benchmarks):
            raise AscentError(f"{self.path}: 'evaluate' names no task; add tasks, mteb_tasks or benchmarks.")

    def leaks(self) -> None:
        """Check the model that texts are compared by."""
        if encoder := self.recipe.leaks.embedding.encoder:
            self._known(encoder.model, self.config.models, "the model", "leaks.embedding.encoder.model")
            self._teacher_s_prompts(encoder, "leaks.embedding.encoder")

    def release(self) -> None:
        """Check that the released stage is evaluated, and that its licence allows no more than those of what it is made
        of."""
        release = self.recipe.release
        if release.stage in self.recipe.stages and release.stage not in self.recipe.evaluate.stages:
            raise AscentError(
                f"{self.path}: 'release.stage' names '{release.stage}', which is not evaluated; add it to"
                " evaluate.stages."
            )
        self._known(release.stage, self.recipe.evaluate.stages, "the evaluated stage", "release.stage")
        corpora, models = self.recipe.made_of
        corpora, writers = self.config.made_from(corpora)
        models = list(dict.fromkeys([*models, *writers]))
        sources = [(name, self.config.corpora[name]) for name in corpora] + [
            (name, self.config.models[name]) for name in models
        ]
        wider = [
            f"{name} ({source.licence}) {' and '.join(reasons)}"
            for name, source in sources
            if (reasons := wider_than(release.licence, source.licence))
        ]
        if wider and not release.licence_reason:
            raise AscentError(
                f"{self.path}: 'release.licence' is {release.licence}, but {', '.join(dict.fromkeys(wider))}; choose a"
                " licence that allows no more, or say in release.licence_reason why it may."
            )

    def packages(self) -> None:
        """Reject a stage whose package is not installed, if this Python, which has torch, is that of the steps."""
        for name, stage in self.recipe.stages.items():
            package = (stage.package or "torch").split(">=")[0]
            if find_spec("torch") and not find_spec(package):
                raise AscentError(
                    f"{self.path}: 'stages.{name}' needs the package {package}, which is not installed here; run pip"
                    f" install '{stage.package}', or choose another type."
                )

    def _teacher_s_prompts(self, teacher: Settings, key: str) -> None:
        """Reject prompts that no text gets from a teacher, which knows task types only."""
        if isinstance(teacher, Contract):
            named = [task for tasks in teacher.prompts.values() for task in tasks if task in mteb_tasks()["tasks"]]
            if unused := ["task_prompts"] * bool(teacher.task_prompts) + [f"a prompt for {task}" for task in named]:
                raise AscentError(
                    f"{self.path}: '{key}' gives the teacher {unused[0]}, but a teacher embeds no texts of mteb's"
                    " tasks; give it prompts by task type."
                )

    def _origins(self, corpus: str, by: str, key: str) -> None:
        """Reject counting by the origin of rows that have none."""
        read = self.config.read_corpus(corpus)
        reader = self.config.corpora[read].reader
        if not reader.tells_origins():
            raise AscentError(
                f"{self.path}: '{key}' counts rows by {by}, but the reader '{reader.component()}' of the corpus"
                f" '{read}' tells no origins; have it read them, as `table` does by columns: {{origin: url}}, or count"
                " by something else."
            )

    def _runnable(self, name: str, key: str) -> None:
        """Reject a task of mteb that cannot be run here, and a benchmark of such tasks only."""
        if name in mteb_tasks()["benchmarks"]:
            if not benchmark_tasks(name):
                raise AscentError(
                    f"{self.path}: '{key}' names the benchmark '{name}', which has no public text task; remove it."
                )
        elif reason := not_runnable(name):
            why = (
                "so its data cannot be loaded" if reason == "private" else "and a text model is evaluated on text alone"
            )
            raise AscentError(f"{self.path}: '{key}' names the task '{name}', which is {reason}, {why}; remove it.")

    def _held_out(self, name: str, stage: Stage) -> None:
        """Reject a merge whose development set one of the merged models was trained on."""
        ancestors = {} if stage.trains or not stage.held_out else self.recipe.ancestors(name)
        for ancestor, settings in ancestors.items():
            if settings.trains and stage.held_out.data in settings.data:
                raise AscentError(
                    f"{self.path}: 'stages.{name}.development.data' is '{stage.held_out.data}', which stage"
                    f" '{ancestor}' trains on; name another data set."
                )

    def _can_learn(self, name: str, stage: Stage, dataset: str) -> None:
        """Reject a data set without negatives whose loss learns from nothing else."""
        rows = self.recipe.data[dataset]
        loss, only = stage.learns_from_own_negatives(dataset, rows.task)
        if loss and not self.config.corpora[rows.corpus].gives_negatives(rows.split):
            fix = "set in_batch: true" if only == "negatives" else "use another objective"
            raise AscentError(
                f"{self.path}: 'stages.{name}.data.{dataset}' has nothing to learn by '{loss}', since the corpus"
                f" '{rows.corpus}' has no negatives, none are mined, and other rows' do not count ({rows.task}); mine"
                f" some, have its reader or extractor give some, or {fix}."
            )

    @property
    def _models(self) -> list[str]:
        return ["base", *self.recipe.stages]

    def _known(self, word: str, words: Collection[str], what: str, key: str) -> None:
        if word not in words:
            cut = word.count("(") > word.count(")")
            fix = "put a name with a comma in quotes." if cut else did_you_mean(word, list(words))
            raise AscentError(f"{self.path}: '{key}' names {what} '{word}', which does not exist; {fix}")
