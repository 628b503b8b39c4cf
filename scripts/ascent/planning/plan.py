"""What a recipe will cost on a kind of GPU, before anything is submitted: tokens, FLOPs, memory and GPU-hours of each job.

A plan reads the recipe, the shapes and tokenizers of the retrieved models, and the texts as far as steps on a CPU have made
them. Nothing here imports torch.
"""

import math
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import polars as pl

from .. import layout
from ..components import module_of
from ..errors import AscentError
from ..model.contract import own_pooling
from ..model.shape import Shape, forward_flops, read_shape, trained_weights
from ..pairs.filters.select import with_positives
from ..pairs.table import read_pairs
from ..recipes.recipes import Recipes, kind_of
from ..settings.evaluation import LocalTask
from ..settings.model import Contract
from ..settings.teachers import BiEncoderTeacher
from ..settings.training import PretrainStage, Training, TrainStage
from ..training.schedule import shares, smallest_batch
from .costs import Memory, encoding_memory, training_flops, training_memory
from .fit import mends
from .gpus import Machine
from .token_counts import Count, TokenCounter

# What a loss may need of a stage's teacher, and the rule that makes it.
TEACHING = {"teacher scores": "score_with_teacher", "teacher embeddings": "embed_with_teacher"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One line of the plan. `runs`: how many jobs of the workflow it stands for."""

    rule: str
    what: str
    count: Count
    flops: float
    hours: float
    memory: Memory
    runs: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe's jobs in the order in which they run, and what there is to say of them."""

    jobs: list[Job]
    memory: dict[str, dict[int, Memory]]
    """For each stage that trains, its memory per GPU by ZeRO stage."""
    zero: dict[str, int]
    """For each stage that trains, the recipe's ZeRO stage."""
    shapes: dict[str, Shape]
    """The models' shapes, by the models' names."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def make_plan(recipes: Recipes, recipe: str, machine: Machine) -> Plan:
    """Plan a recipe. Raises AscentError when a model or a corpus is not there yet, naming all that are not and the command."""
    return _Planner(recipes, recipe, machine).plan()


class _Planner:
    def __init__(self, recipes: Recipes, name: str, machine: Machine):
        self.recipes, self.name, self.machine = recipes, name, machine
        self.recipe = recipes.recipes[name]
        self.rows = cache(self.read_rows)
        self.shape = cache(lambda model: read_shape(self.model_folder(model)))
        self.counter = cache(lambda model, most: TokenCounter(self.model_folder(model), most))
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        self.refuse_missing()
        stages = {name: self.recipe.stages[name] for name in self.recipes.trained(self.name)}
        memory = {name: {zero: self.memory(stage, zero=zero) for zero in range(4)} for name, stage in stages.items()}
        jobs = [self.scoring(name) for name in self.recipes.training_data(self.name) if self.recipe.data[name].teacher]
        mined = dict.fromkeys(pair for stage in stages.values() for pair in mined_with(stage))
        for name, stage in stages.items():
            own = [pair for pair in mined if pair in mined_with(stage)]
            jobs += [self.encoding(*pair) for pair in own]
            for pair in own:  # stages that mine with one model share its shards
                del mined[pair]
            for dataset in stage.data:
                needed = set(stage.taught(dataset).values()) if stage.teacher_model else set()
                jobs += [self.teaching(rule, name, stage, dataset) for need, rule in TEACHING.items() if need in needed]
            jobs.append(self.training(name, stage, memory[name][stage.zero]))
            self.check_stage(name, stage, memory[name][stage.zero])
            if stage.queue:
                self.notes.append(f"Stage {name} copies its model for the queue, so zero: 3 is not open to it.")
            if host := memory[name][stage.zero].host * self.machine.gpus:
                self.notes.append(f"Stage {name} offloads {amount(host, 'B')} to each node's memory or files.")
        jobs += [self.evaluation(name, task) for name, task in self.recipe.evaluate.tasks.items()]
        for job in jobs:
            if not job.rule.startswith("train_") and job.memory.total > self.machine.gpu.memory:
                self.warnings.append(
                    f"{job.rule} {job.what} needs {amount(job.memory.total, 'B')}, the {self.machine.name} has "
                    f"{amount(self.machine.gpu.memory, 'B')}; take a GPU with more memory or a smaller model."
                )
        base = self.recipe.base
        if (found := own_pooling(self.model_folder(base.model))) not in (None, base.pooling):
            self.warnings.append(f"base.model '{base.model}' was made with pooling: {found}, and the recipe has {base.pooling}.")
        if mining := [name for name, stage in stages.items() if stage.mining]:
            self.notes.append(f"Negatives of {', '.join(mining)}: taken to be as many as asked and as long as the positives.")
        if pretrained := [name for name, stage in stages.items() if isinstance(stage, PretrainStage)]:
            self.notes.append(f"Pre-training of {', '.join(pretrained)}: the heads that predict tokens are not counted.")
        if of_tokens := [name for name, stage in stages.items() if stage.of_tokens]:
            self.notes.append(f"Not counted: what heads give for each token, and the scores of these, in {', '.join(of_tokens)}.")
        remote = len(self.recipes.tasks(self.name)) - len(self.recipe.evaluate.tasks)
        if remote:
            self.notes.append(f"Not counted: {remote} tasks of mteb, whose data come from a hub.")
        zero = {name: stage.zero for name, stage in stages.items()}
        shapes = {model: self.shape(model) for model in sorted(self.models)}
        return Plan(jobs=jobs, memory=memory, zero=zero, shapes=shapes, notes=self.notes, warnings=self.warnings)

    # ------------------------------------------------------------ files

    @staticmethod
    def model_folder(model: str) -> Path:
        return Path(layout.RETRIEVED_MODEL.format(model=model))

    @cached_property
    def teachers(self) -> dict:
        """The teachers of the data sets that are trained on, by data set."""
        datasets = {name: self.recipe.data[name] for name in self.recipes.training_data(self.name)}
        return {name: dataset.teacher for name, dataset in datasets.items() if dataset.teacher}

    @cached_property
    def models(self) -> set[str]:
        """The models that the recipe's jobs load: the base and all teachers."""
        stages = [self.recipe.stages[name] for name in self.recipes.trained(self.name)]
        asked = {teacher.model for teacher in self.teachers.values()} | {stage.teacher_model for stage in stages}
        return {self.recipe.base.model} | asked - {None}

    def pair_files(self, dataset: str) -> list[Path]:
        """Where a data set's rows may be found, the nearest to training first."""
        corpus = self.recipe.data[dataset].corpus
        keys = self.recipes.steps(self.name, dataset).keys
        paths = [layout.PAIRS.format(key=keys["pairs"]), layout.PREPARED.format(key=keys["prepared"])]
        return [*map(Path, paths), Path(layout.CORPUS_PAIRS.format(corpus=corpus))]

    def refuse_missing(self) -> None:
        missing = [str(self.model_folder(model)) for model in sorted(self.models) if not self.model_folder(model).is_dir()]
        for dataset in self.recipes.training_data(self.name):
            files = self.pair_files(dataset)
            missing += [] if any(file.exists() for file in files) else [str(files[1])]
        for corpus in self.recipes.evaluation_corpora(self.name):
            path = Path(layout.CORPUS_PAIRS.format(corpus=corpus))
            missing += [] if path.exists() else [str(path)]
        if missing:
            raise AscentError(
                f"{', '.join(missing)}: not made yet, and the plan counts in it; make it first, a CPU does: "
                f"snakemake --cores 1 {' '.join(missing)} --config 'recipes=[{self.name}]'"
            )

    def read_rows(self, dataset: str) -> pl.DataFrame:
        """A data set's rows, as near to training as they have been made."""
        settings = self.recipe.data[dataset]
        path = next(file for file in self.pair_files(dataset) if file.exists())
        rows = read_pairs(path).filter((pl.col("split") == settings.split) & (pl.col("task") == settings.task))
        rows = with_positives(rows, settings)
        if rows.is_empty():
            raise AscentError(f"{path}: has no {settings.task} rows in the split '{settings.split}' for data set '{dataset}'.")
        self.notes.append(f"Data set {dataset}: {len(rows):,} rows of {path}.")
        return rows

    # ------------------------------------------------------------ jobs

    def count(self, model: str, contract: Contract, task: str, **texts: pl.Series) -> Count:
        """Count texts, given by side: query, document."""
        counter = self.counter(model, contract.max_tokens)
        return sum((counter.count(part, contract.prompt(side, task)) for side, part in texts.items()), Count())

    def embedding(self, rule: str, what: str, model: str, count: Count, runs: int) -> Job:
        """A job that embeds texts and does not train."""
        flops = forward_flops(self.shape(model), count.tokens, count.squares)
        memory = encoding_memory(self.shape(model), count.tokens / runs)
        hours = self.machine.hours(flops, "auto")
        return Job(rule=rule, what=what, count=count, flops=flops, hours=hours, memory=memory, runs=runs)

    def distinct(self, dataset: str) -> dict[str, pl.Series]:
        rows = self.rows(dataset)
        return {"query": rows["query"].unique(maintain_order=True), "document": rows["positive"].unique(maintain_order=True)}

    def scoring(self, dataset: str) -> Job:
        teacher, task = self.teachers[dataset], self.recipe.data[dataset].task
        count = self.count(teacher.model, teacher, task, **self.distinct(dataset))
        return self.embedding("score_pairs", dataset, teacher.model, count, 1)

    def teaching(self, rule: str, name: str, stage: TrainStage, dataset: str) -> Job:
        teacher, rows = stage.teacher, self.rows(dataset)
        negatives = rows.filter(pl.col("negatives").list.len() > 0).explode("negatives")
        if isinstance(teacher, BiEncoderTeacher):
            texts = self.distinct(dataset)
            if not stage.mined(dataset):  # mined ones are positives of other rows
                texts["document"] = pl.concat([texts["document"], negatives["negatives"]]).unique(maintain_order=True)
            count = self.count(teacher.model, teacher, self.recipe.data[dataset].task, **texts)
        else:
            counter = self.counter(teacher.model, teacher.max_tokens)
            count = counter.count_pairs(rows["query"], rows["positive"])
            if stage.mined(dataset):
                count *= 1 + stage.mining.per_query
            else:
                count += counter.count_pairs(negatives["query"], negatives["negatives"])
        return self.embedding(rule, f"{name}, {dataset}", teacher.model, count, 1)

    def encoding(self, stage: str, dataset: str) -> Job:
        contract, task = self.recipes.contract(self.name, stage), self.recipe.data[dataset].task
        count = self.count(self.recipe.base.model, contract, task, **self.distinct(dataset))
        return self.embedding("encode_shard", f"{stage}, {dataset}", self.recipe.base.model, count, self.recipe.shards)

    def training(self, name: str, stage: Training, memory: Memory) -> Job:
        contract, model, total = self.recipes.contract(self.name, name), self.recipe.base.model, Count()
        queued, sizes = Count(), [self.size(stage, dataset) for dataset in stage.data]
        taken = shares(sizes, stage)
        for dataset, size, uses in zip(stage.data, sizes, taken, strict=True):
            total += self.trained(model, contract, stage, dataset) * (uses / size)
            if stage.queue:
                task, positives = self.recipe.data[dataset].task, self.rows(dataset)["positive"]
                queued += self.count(model, contract, task, document=positives) * (uses / size)
        self.check_batches(name, stage, taken)
        most = min(stage.batch_size * total.tokens / sum(taken), stage.batch_tokens or math.inf, total.tokens)
        share = most / self.machine.processes
        # Pre-training adds gradients up where others embed once more.
        cached = share > stage.mini_batch_tokens and not isinstance(stage, PretrainStage)
        flops = training_flops(self.shape(model), stage, total.tokens, total.squares, cached=cached)
        if stage.queue:  # its momentum copy embeds the positives
            flops += forward_flops(self.shape(model), queued.tokens, queued.squares)
        hours = self.machine.hours(flops, stage.precision)
        return Job(rule=f"train_{kind_of(stage)}", what=name, count=total, flops=flops, hours=hours, memory=memory)

    def documents(self, dataset: str) -> pl.Series:
        """The distinct positives and negatives of a data set, which pre-training learns from."""
        rows = self.rows(dataset)
        return pl.concat([rows["positive"], rows["negatives"].explode().drop_nulls()]).unique(maintain_order=True)

    def size(self, stage: Training, dataset: str) -> int:
        """How many rows, or texts, a stage's batches are cut from."""
        return len(self.documents(dataset) if isinstance(stage, PretrainStage) else self.rows(dataset))

    def trained(self, model: str, contract: Contract, stage: Training, dataset: str) -> Count:
        """Count what one pass over a data set takes in."""
        rows, task = self.rows(dataset), self.recipe.data[dataset].task
        if isinstance(stage, PretrainStage):
            return self.counter(model, contract.max_tokens).count(self.documents(dataset), "")
        positives = self.count(model, contract, task, document=rows["positive"])
        own = self.count(model, contract, task, query=rows["query"]) + positives
        if stage.mined(dataset):
            return own + positives * stage.mining.per_query
        return own + self.count(model, contract, task, document=rows["negatives"].explode().drop_nulls())

    def memory(self, stage: Training, **changes) -> Memory:
        """A stage's memory with some of its settings changed."""
        negatives = [
            stage.mining.per_query if stage.mined(dataset) else self.rows(dataset)["negatives"].list.len().max()
            for dataset in stage.data
        ]
        texts = 1 if isinstance(stage, PretrainStage) else 2 + max(negatives)
        changed, most = stage.model_copy(update=changes), self.recipe.base.max_tokens
        shape = self.shape(self.recipe.base.model)
        base, trained = self.recipe.base, None
        if stage.adapter:
            trained = trained_weights(self.model_folder(base.model), stage.adapter, base.soft_tokens)
        return training_memory(shape, changed, self.machine.processes, texts=texts, max_tokens=most, trained=trained)

    def evaluation(self, name: str, task: LocalTask) -> Job:
        model, total = self.recipe.base.model, Count()
        tables = (layout.CORPUS_PAIRS, layout.CORPUS_DOCUMENTS)
        parts = module_of(task).texts(task, *(Path(table.format(corpus=task.corpus)) for table in tables))
        for stage in self.recipe.evaluate.stages:
            contract = self.recipes.contract(self.name, stage)
            for side, texts in parts:
                total += self.count(model, contract, task.type, **{side: texts.unique(maintain_order=True)})
        return self.embedding("evaluate_task", name, model, total, len(self.recipe.evaluate.stages))

    # ------------------------------------------------------------ warnings

    def check_batches(self, name: str, stage: Training, taken: list[int]) -> None:
        if stage.batch_tokens is not None:  # what its batches are is known when the texts are tokenised
            return
        parts = taken if stage.batching == "by_dataset" else [sum(taken)]
        rows, last = min(((part, smallest_batch(part, len(parts) > 1, stage)) for part in parts if part), key=lambda x: x[1])
        if last < self.machine.processes:
            self.warnings.append(
                f"stage '{name}' ends with a batch of {last} rows ({rows:,} in batches of {stage.batch_size}), which "
                f"{self.machine.processes} processes cannot share; take another batch_size or fewer GPUs."
            )

    def check_stage(self, name: str, stage: Training, memory: Memory) -> None:
        limit = self.machine.gpu.memory
        if memory.total <= limit:
            return
        sentence = (
            f"stage '{name}' needs {amount(memory.total, 'B')} per GPU at zero: {stage.zero}, "
            f"the {self.machine.name} has {amount(limit, 'B')}; "
        )
        for changes in mends(stage, self.recipe.base.max_tokens):
            needed = self.memory(stage, **changes).total
            if needed <= limit:
                words = ", ".join(f"{key}: {str(value).lower()}" for key, value in changes.items())
                self.warnings.append(f"{sentence}with {words} it needs {amount(needed, 'B')}.")
                return
        self.warnings.append(f"{sentence}no setting mends that: take more GPUs, one with more memory, or a lower batch_size.")


def mined_with(stage: Training) -> list[tuple[str, str]]:
    """Return the stage that ranks the documents, and the data set, of each data set that a stage mines for."""
    return [(stage.mining.model, dataset) for dataset in stage.data if stage.mined(dataset)]


def amount(value: float, unit: str = "") -> str:
    """Return a number with three digits that count, and its unit with a prefix: `12.3 M`, `18.2 GB`, `4.1 PFLOP`."""
    prefixes = ["", "k", "M", "G", "T", "P", "E", "Z"]
    while value >= 999.5 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    return f"{value:.3g} {prefixes[0]}{unit}".rstrip()
