"""What a recipe will cost on a kind of GPU, before any job is submitted: tokens, FLOPs, memory and GPU-hours per job.

A plan reads the recipe, the shapes and tokenizers of the retrieved models, and the texts as far as CPU steps have
processed them. Nothing here imports torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from .. import layout
from ..components import module_of
from ..evaluation.local_tasks import Tables
from ..model.adoption.own_contract import overrides, told
from ..model.costs import (
    Memory,
    checkpoint_bytes,
    encoder_tokens,
    encoding_memory,
    training_flops,
    training_memory,
    with_budget,
)
from ..model.prompt_checks import prompts_twice
from ..model.shape import Shape, forward_flops, trained_weights
from ..pairs.prompts import with_prompts
from ..recipes.pools import Pool, pools_of, pools_of_recipe
from ..recipes.recipes import Recipes
from ..settings.evaluation import LocalTask
from ..settings.model import Contract, Tokenising
from ..settings.training import Stage, Training
from ..training.schedule import few_steps, shares
from .fit import (
    batch_warning,
    checkpoint_note,
    dynamic_note,
    job_warning,
    loading_note,
    mining_note,
    reduction_note,
    stage_warning,
)
from .gpus import Machine, amount
from .inputs import Inputs
from .token_counts import Count
from .written import Written, written

# What a loss may need from a stage's teacher, and the rule that makes it.
TEACHING = {"teacher scores": "score_with_teacher", "teacher embeddings": "embed_with_teacher"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One line of the plan. `runs`: the number of jobs that it stands for."""

    rule: str
    what: str
    count: Count
    flops: float
    hours: float
    memory: Memory
    runs: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe's jobs in the order in which they run, with notes and warnings."""

    jobs: list[Job]
    memory: dict[str, dict[int, Memory]]
    """Memory per GPU, by training stage and ZeRO stage."""
    zero: dict[str, int]
    """The recipe's ZeRO stage, by training stage."""
    shapes: dict[str, Shape]
    """The models' shapes, by name."""
    written: list[Written] = field(default_factory=list)
    """The corpora that a language model will write."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def make_plan(recipes: Recipes, recipe: str, machine: Machine) -> Plan:
    """Plan a recipe. Raises AscentError that names all missing models and corpora, and the command that makes them."""
    return _Planner(recipes, recipe, machine).plan()


class _Planner:
    def __init__(self, recipes: Recipes, name: str, machine: Machine):
        self.recipes, self.name, self.machine = recipes, name, machine
        self.recipe, self.inputs = recipes.recipes[name], Inputs(recipes, name)
        self.rows, self.times, self.shape = self.inputs.rows, self.inputs.times, self.inputs.shape
        self.notes = self.inputs.notes
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        self.inputs.check()
        asked = {name: self.recipe.stages[name] for name in self.recipes.trained(self.name)}
        stages = {name: with_budget(stage, self.memory, self.machine.gpu.memory) for name, stage in asked.items()}
        memory = {name: {zero: self.memory(stage, zero=zero) for zero in range(4)} for name, stage in stages.items()}
        jobs = [job for name in self.recipes.training_data(self.name) for job in self.measuring(name)]
        taught: set[str] = set()
        mined = dict.fromkeys(pair for stage in stages.values() for pair in mined_with(stage))
        jobs += [job for pool in pools_of_recipe(self.recipes, self.name) if (job := self.pooling(pool))]
        for name, stage in stages.items():
            own = [pair for pair in mined if pair in mined_with(stage)]
            jobs += [self.encoding(*pair) for pair in own]
            for pair in own:  # stages that mine with one model share its shards
                del mined[pair]
            made_for = stage.data_name(name)
            for dataset in stage.data if made_for not in taught else ():  # the stages of several seeds share it
                needed = set(stage.teacher_needs(dataset).values()) if stage.teacher_model else set()
                jobs += [
                    self.teaching(rule, made_for, stage, dataset) for need, rule in TEACHING.items() if need in needed
                ]
            taught.add(made_for)
            jobs.append(self.training(name, stage, memory[name][stage.zero]))
            self.warn(stage_warning(name, stage, self.machine, self.recipe.base.max_tokens.longest, self.memory))
            if stage.queue_size:
                self.notes.append(f"Stage {name} copies its model for the queue, so it cannot use zero: 3.")
            parameters = self.shape(self.recipe.base.model).parameters
            self.note(checkpoint_note(name, checkpoint_bytes(parameters, stage, self.trained_weights(stage))))
            self.note(loading_note(name, stage, self.machine, parameters))
            self.note(reduction_note(name, stage, self.machine, memory[name][1]))
            if host := memory[name][stage.zero].host * self.machine.gpus:
                self.notes.append(f"Stage {name} offloads {amount(host, 'B')} to each node's memory or files.")
            self.note_mining(name, stage)
        jobs += [self.choosing(name) for name in self.recipes.chosen(self.name)]
        jobs += [self.evaluation(name, task) for name, task in self.inputs.tasks().items()]
        for job in jobs:
            if not job.rule.startswith("train_"):
                self.warn(job_warning(f"{job.rule} {job.what}", job.memory, self.machine))
        self.compare_models()
        self.note_assumptions(stages)
        zero = {name: stage.zero for name, stage in stages.items()}
        shapes = {model: self.shape(model) for model in sorted(self.inputs.models)}
        parts = {"memory": memory, "zero": zero, "shapes": shapes, "written": written(self.recipes, self.name)}
        return Plan(jobs=jobs, **parts, notes=self.notes, warnings=self.warnings)

    def note_mining(self, name: str, stage: Training) -> None:
        """Note what mining for a stage, and its dynamic negatives, hold in memory."""
        mined = [dataset for dataset in stage.data if stage.mines_for(dataset)]
        for dataset in mined:
            times, documents = self.times(dataset), self.rows(dataset)["positive_id"].n_unique()
            pools = pools_of(self.recipes, self.name, stage.data_name(name), dataset)
            shares = (self.inputs.documents(pool.corpus, pool.encoding.split) for pool in pools)
            pooled = sum(len(sample) * stands_for for sample, stands_for in shares)
            self.note(mining_note(name, dataset, documents * times + pooled, len(self.rows(dataset)) * times))
        if mined and stage.mining_used.dynamic:
            rows = sum(len(self.rows(dataset)) * self.times(dataset) for dataset in mined)
            self.note(dynamic_note(name, rows, stage.mining_used.per_query, self.machine))

    def note_assumptions(self, stages: dict[str, Training]) -> None:
        for name, stage in stages.items():
            if self.recipe.stages[name].mini_batch_tokens is None:
                chosen = f"{stage.token_budget:,}, chosen for the {self.machine.name}"
                self.notes.append(f"Stage {name}: mini_batch_tokens is {chosen}.")
        if mining := [name for name, stage in stages.items() if stage.mining_used]:
            self.notes.append(
                f"Negatives of {', '.join(mining)}: assumed as many as requested and as long as the positives."
            )
        if pretrained := [name for name, stage in stages.items() if stage.unit == "texts"]:
            self.notes.append(f"Pre-training of {', '.join(pretrained)}: heads that predict tokens are not counted.")
        data = [self.recipe.data[name] for name in self.recipes.training_data(self.name)]
        if any(each.language_models for each in data):
            self.notes.append("Perplexities: heads that predict tokens are not counted.")
        if token_level := [name for name, stage in stages.items() if stage.token_level_losses]:
            self.notes.append(f"Not counted: token-level outputs and their scores, in {', '.join(token_level)}.")
        remote = len(self.recipes.tasks(self.name)) - len(self.recipe.evaluate.tasks)
        if remote:
            self.notes.append(f"Not counted: {remote} mteb tasks, because their data come from a hub.")
            # Not above: mteb is imported where its tasks are asked about only.
            from ..evaluation.zero_shot import zero_shot

            config = self.recipes.config
            self.notes += zero_shot(self.recipe, config.corpora, config.models).sentences()
        self.notes += self.recipes.left_out(self.name)

    # ------------------------------------------------------------ jobs

    def count(self, model: str, tokenising: Tokenising, **texts: pl.DataFrame) -> Count:
        """Count texts by side (query, document), with the columns text and prompt."""
        counters = {side: self.inputs.counter(model, getattr(tokenising.max_tokens, side)) for side in texts}
        return sum((counters[side].count(part["text"], part["prompt"]) for side, part in texts.items()), Count())

    def embedding(self, rule: str, what: str, model: str, count: Count, runs: int, precision: str = "auto") -> Job:
        """A job that embeds texts without training."""
        flops = forward_flops(self.shape(model), count.tokens, count.squares)
        most = encoder_tokens(self.shape(model), precision, self.machine.gpu.memory)
        memory = encoding_memory(self.shape(model), min(most, count.tokens / runs), precision)
        hours = self.machine.hours(flops, precision)
        return Job(rule=rule, what=what, count=count, flops=flops, hours=hours, memory=memory, runs=runs)

    def texts(self, dataset: str, tokenising: Tokenising) -> dict[str, pl.DataFrame]:
        """The texts of a data set's rows, with their prompts: the queries, the positives and the negatives."""
        rows = with_prompts(self.rows(dataset), tokenising)
        negatives = rows.select(text="negatives", prompt="document_prompt").explode("text").drop_nulls("text")
        positives = rows.select(text="positive", prompt="document_prompt")
        return {"query": rows.select(text="query", prompt="query_prompt"), "document": positives, "negative": negatives}

    def distinct(self, dataset: str, tokenising: Tokenising) -> dict[str, pl.DataFrame]:
        texts = self.texts(dataset, tokenising)
        return {side: texts[side].unique(maintain_order=True) for side in ("query", "document")}

    def tokenising(self, stage: Stage, contract: Contract, dataset: str) -> Tokenising:
        data = self.recipe.data[dataset]
        return stage.tokenising(contract, dataset, data.task, data.prompts)

    def measuring(self, dataset: str) -> Iterator[Job]:
        for measure in self.recipe.data[dataset].measures:
            for rule, sides in measure.reads().items():
                tokenising, times = measure.tokenising(), self.times(dataset)
                texts = self.distinct(dataset, tokenising)
                read = {
                    side: texts[side] if most is None else texts[side].head(math.ceil(most / times))
                    for side, most in sides.items()
                }
                count = self.count(measure.used, tokenising, **read) * times
                yield self.embedding(rule, dataset, measure.used, count, 1)

    def teaching(self, rule: str, name: str, stage: Training, dataset: str) -> Job:
        teacher, rows = stage.teacher_used, self.rows(dataset)
        negatives = rows.filter(pl.col("negatives").list.len() > 0).explode("negatives")
        if teacher.embeds:
            tokenising = teacher.tokenising(self.recipe.data[dataset].task).without_rows()
            texts = self.texts(dataset, tokenising)
            documents = texts["document"]
            if not stage.mines_for(dataset):  # mined ones are positives of other rows
                documents = pl.concat([documents, texts["negative"]])
            queries, documents = (part.unique(maintain_order=True) for part in (texts["query"], documents))
            count = self.count(teacher.model, tokenising, query=queries, document=documents)
        else:
            counter = self.inputs.counter(teacher.model, teacher.max_tokens)
            count = counter.count_pairs(rows["query"], rows["positive"])
            if stage.mines_for(dataset):
                count *= 1 + stage.mining_used.per_query
            else:
                count += counter.count_pairs(negatives["query"], negatives["negatives"])
        return self.embedding(rule, f"{name}, {dataset}", teacher.model, count * self.times(dataset), 1)

    def encoding(self, stage: str, dataset: str) -> Job:
        contract, data = self.recipes.contract(self.name, stage), self.recipe.data[dataset]
        tokenising = contract.tokenising(data.task, data.prompts)
        count = self.count(self.recipe.base.model, tokenising, **self.distinct(dataset, tokenising)) * self.times(
            dataset
        )
        return self.embedding("encode_shard", f"{stage}, {dataset}", self.recipe.base.model, count, self.recipe.shards)

    def pooling(self, pool: Pool) -> Job | None:
        """The documents of a corpus that negatives are mined among."""
        documents, times = self.inputs.documents(pool.corpus, pool.encoding.split)
        if not times:
            return None
        model = self.recipe.base.model
        counter = self.inputs.counter(model, pool.encoding.max_tokens)
        count = counter.count(documents, pool.encoding.prompts[0]) * times
        return self.embedding("encode_pool", f"{pool.model}, {pool.corpus}", model, count, pool.shards)

    def training(self, name: str, stage: Training, memory: Memory) -> Job:
        contract, model, total = self.recipes.contract(self.name, name), self.recipe.base.model, Count()
        queued, sizes = Count(), [self.size(stage, dataset) for dataset in stage.data]
        taken = shares(sizes, stage)
        if stage.max_steps:
            part = min(1, stage.max_steps * stage.batch_size / sum(taken))
            taken = [round(rows * part) for rows in taken]
        for dataset, size, uses in zip(stage.data, sizes, taken, strict=True):
            total += self.trained(model, contract, stage, dataset) * (uses / size * self.trained_times(stage, dataset))
            tokenising = self.tokenising(stage, contract, dataset)
            self.warn(*prompts_twice(f"data set {dataset}", self.distinct(dataset, tokenising)))
            if stage.queue_size:
                positives = self.texts(dataset, tokenising)["document"]
                times = self.trained_times(stage, dataset)
                queued += self.count(model, tokenising, document=positives) * (uses / size * times)
        self.warn(batch_warning(name, stage, taken, self.machine.processes))
        if warning := few_steps(stage, sum(sizes)):
            self.warn(f"stages.{name}.{warning}")
        most = min(stage.batch_size * total.tokens / sum(taken), stage.batch_tokens or math.inf, total.tokens)
        share = most / self.machine.processes
        # Larger batches go through the gradient cache, which embeds twice. Pre-training accumulates gradients instead.
        cached = share > stage.token_budget and stage.unit == "pairs"
        flops = training_flops(self.shape(model), stage, total.tokens, total.squares, cached=cached)
        if stage.queue_size:  # its momentum copy embeds the positives
            flops += forward_flops(self.shape(model), queued.tokens, queued.squares)
        hours = self.machine.hours(flops, stage.precision)
        return Job(rule=f"train_{stage.rule}", what=name, count=total, flops=flops, hours=hours, memory=memory)

    def documents(self, dataset: str) -> pl.Series:
        """The distinct positives and negatives of a data set: the texts of pre-training."""
        rows = self.rows(dataset)
        return pl.concat([rows["positive"], rows["negatives"].explode().drop_nulls()]).unique(maintain_order=True)

    def size(self, stage: Training, dataset: str) -> int:
        """The number of rows, or texts, that a stage's batches are made of."""
        given = self.documents(dataset) if stage.unit == "texts" else self.rows(dataset)
        return round(len(given) * self.trained_times(stage, dataset))

    def trained_times(self, stage: Training, dataset: str) -> float:
        """How often a stage sees each row, or text, of a pass over `rows`: repeated rows repeat no text."""
        return self.times(dataset) * (1 if stage.unit == "texts" else self.inputs.repeats(dataset))

    def trained(self, model: str, contract: Contract, stage: Training, dataset: str) -> Count:
        """Count the texts of one pass over a data set's `rows`."""
        tokenising = self.tokenising(stage, contract, dataset)
        if stage.unit == "texts":
            return self.inputs.counter(model, tokenising.max_tokens.document).count(self.documents(dataset), "")
        texts = self.texts(dataset, tokenising)
        positives = self.count(model, tokenising, document=texts["document"])
        pairs = self.count(model, tokenising, query=texts["query"]) + positives
        if stage.mines_for(dataset):
            return pairs + positives * stage.mining_used.per_query
        return pairs + self.count(model, tokenising, document=texts["negative"])

    def memory(self, stage: Training, **changes) -> Memory:
        """A stage's memory with some of its settings changed."""
        negatives = [
            stage.mining_used.per_query
            if stage.mines_for(dataset)
            else self.rows(dataset)["negatives"].list.len().max()
            for dataset in stage.data
        ]
        texts = 1 if stage.unit == "texts" else 2 + max(negatives)
        changed, most = stage.model_copy(update=changes), self.recipe.base.max_tokens.longest
        shape = self.shape(self.recipe.base.model)
        trained = self.trained_weights(stage)
        return training_memory(shape, changed, self.machine.processes, texts=texts, max_tokens=most, trained=trained)

    def trained_weights(self, stage: Training) -> int | None:
        """The number of a stage's weights that train; None for all."""
        base = self.recipe.base
        return (
            trained_weights(self.inputs.model(base.model), stage.adapter, base.soft_tokens) if stage.adapter else None
        )

    def choosing(self, name: str) -> Job:
        """The job that scores a merge's mixtures on its development set."""
        stage, base = self.recipe.stages[name], self.recipe.base.model
        dataset = stage.held_out.data
        tokenising = self.tokenising(stage, self.recipes.contract(self.name, name), dataset)
        count = self.count(base, tokenising, **self.distinct(dataset, tokenising)) * (
            self.times(dataset) * stage.mixtures
        )
        job = self.embedding("choose_weights", name, base, count, stage.mixtures, "float32")
        return replace(job, runs=1)

    def evaluation(self, name: str, task: LocalTask) -> Job:
        model, total = self.recipe.base.model, Count()
        tables = Tables(self.recipes.corpus_files(layout.CORPUS_PAIRS, task.corpus))
        parts = [(*part, 1.0) for part in module_of(task).texts(task, tables)]
        parts += [("document", *self.inputs.documents(corpus, task.split)) for corpus in task.searched]
        for stage in self.recipe.evaluate.stages:
            contract = self.recipes.contract(self.name, stage)
            for side, texts, times in parts:
                distinct = texts.unique(maintain_order=True).to_frame("text")
                distinct = distinct.with_columns(prompt=pl.lit(contract.prompt(side, task.type)))
                counter = self.inputs.counter(model, contract.max_tokens.longest)
                total += counter.count(distinct["text"], distinct["prompt"]) * times
                self.warn(*prompts_twice(f"task {name}", {side: distinct}))
        return self.embedding("evaluate_task", name, model, total, len(self.recipe.evaluate.stages), "float32")

    # ------------------------------------------------------------ warnings

    def note(self, note: str | None) -> None:
        self.notes += [note] if note else []

    def warn(self, *warnings: str | None) -> None:
        self.warnings += [warning for warning in warnings if warning and warning not in self.warnings]

    def compare_models(self) -> None:
        """Warn of what the models' folders say otherwise than the recipe."""
        for model in self.inputs.backbones:
            if self.inputs.model_folder(model.model).is_dir():
                tokenizer = self.inputs.counter(model.model, model.max_tokens.longest).tokenizer
                self.warn(*told(self.inputs.model_folder(model.model), model, tokenizer))
            elif model.contract:
                self.warn(*overrides(model.model, model.contract, model))


def mined_with(stage: Training) -> list[tuple[str, str]]:
    """Return (stage whose model ranks the documents, data set) for each data set that a stage mines for."""
    return [(stage.mining_used.model, dataset) for dataset in stage.data if stage.mines_for(dataset)]
