# In: the configuration and the recipes. Out: the nouns that rules name, in the order in which rules use them.
import re
import sys
from base64 import urlsafe_b64encode
from os.path import basename, dirname, exists
from pathlib import Path
from shutil import copy2

from ascent.errors import AscentError
from ascent.layout import *
from ascent.recipes.loading import load_recipes
from ascent.recipes.local_files import check_local_files
from ascent.recipes.memory import memory_mb, tables_mb
from ascent.recipes.source_digests import update_digests
from ascent.recipes.step_settings import settings_files
from ascent.recipes.synthesis import read_prompt
from ascent.settings.filters import compared_with, counted_by

try:
    # Files given on the command line are laid over the others, though they are read first. A job need not read them again.
    files = sorted(workflow.configfiles, key=lambda path: path in workflow.overwrite_configfiles)
    recipes = load_recipes(config, files if workflow.is_main_process else ())
    SETTINGS = settings_files(recipes)
    if workflow.is_main_process:
        check_local_files(recipes)
        update_digests(recipes)
except AscentError as error:
    # Snakemake would name this file and line in front of an exception's message.
    sys.exit(f"error: {error}")

RECIPES = list(recipes.recipes)
ENVIRONMENT = f"../envs/{recipes.config.environment}.yaml"

REPORT = [page for recipe in RECIPES for page in recipes.pages(recipe)]


def any_of(names):
    """A regular expression that matches these names only, or nothing when there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def any_path(paths):
    """A regular expression that matches these paths only. Folders with the same files share one part: Snakemake reads the whole
    expression several times for each job."""
    files, folders = {}, {}
    for path in paths:
        files.setdefault(dirname(path), []).append(basename(path))
    for folder, names in files.items():
        folders.setdefault(tuple(names), []).append(folder)
    return (
        "|".join(rf"(?:{any_of(shared)})/(?:{any_of(names)})" for names, shared in folders.items()) or "(?!)"
    )


def any_stage(stages):
    """A regular expression that matches these stages only, each in its recipe's folder: (recipe, stage), ..."""
    return "|".join(rf"(?<=/{re.escape(recipe)}/){re.escape(stage)}" for recipe, stage in stages) or "(?!)"


wildcard_constraints:
    recipe=any_of(RECIPES),
    stage=any_stage(
        [(recipe, stage) for recipe in RECIPES for stage in ("base", *recipes.stages_by_path(recipe))]
    ),
    corpus=any_of(recipes.config.corpora),
    model=any_of(recipes.config.models),
    dataset=any_of({name for recipe in recipes.recipes.values() for name in recipe.data}),
    key=any_of([*recipes.passes_by_key, *recipes.scored_by_key]),
    folder="prepared|pairs",
    part=r"\d{5}",
    parts=r"\d{5}",
    task=r"[^/]+",
    shard=r"\d{5}",
    shards=r"\d{5}",


def record_of(path):
    """Snakemake's record of how a file was made."""
    return Path(".snakemake/metadata") / urlsafe_b64encode(path.encode()).decode()


def by_attempt(first):
    """A resource that grows with a job's second and third attempt, for a job that ran out of it."""
    return lambda wildcards, attempt: first * min(attempt, 3)


def by_model(name, first, copies):
    """MB for a job that holds the weights of the models in its input `name` so many times, see memory_mb; grows by attempt."""

    def mem_mb(wildcards, input, attempt):
        folders = input[name] if isinstance(input[name], list) else [input[name]]
        return memory_mb(folders, first=first, copies=copies) * min(attempt, 3)

    return mem_mb


def by_tables(first):
    """MB for a job that has all parquet files of its input in memory, see tables_mb; grows by attempt."""

    def mem_mb(wildcards, input, attempt):
        return tables_mb([path for path in input if path.endswith(".parquet")], first=first) * min(attempt, 3)

    return mem_mb


def files_of_source(wildcards):
    """The files of this machine that a source reads, so that an edit of one is seen: by its digest, where recipes use it."""
    files = recipes.source_files(wildcards.kind, wildcards.name)
    if (wildcards.kind, wildcards.name) not in recipes.local_sources():
        return files
    return [SOURCE_DIGESTS.format(**wildcards), *map(ancient, files)]


def any_retrieved():
    """A regular expression that matches the corpora and models that files are retrieved for, each in the folder of its kind."""
    corpora = recipes.config.corpora.keys() - recipes.config.synthesised.keys()
    return rf"(?<=corpora/)(?:{any_of(sorted(corpora))})|(?<=models/)(?:{any_of(recipes.config.models)})"


def adapted_model(wildcards):
    """The model that a retrieved adapter is merged into; none for anything else."""
    adapted = getattr(recipes.config.models.get(wildcards.name), "adapter_of", None)
    return RETRIEVED_MODEL.format(model=adapted) if wildcards.kind == "models" and adapted else []


def tokenizer_of_passages(wildcards):
    """The model or file whose tokens a corpus's passages are measured in; none if they are not."""
    passages = recipes.config.corpora[wildcards.corpus].passages
    if passages is None:
        return []
    return RETRIEVED_MODEL.format(model=passages.model) if passages.model else passages.tokenizer or []


def generator_of(corpus):
    """The generator that writes a corpus."""
    return recipes.config.generators[recipes.config.synthesised[corpus].generator]


def synthesised_corpora(is_local):
    """The corpora that a generator writes, one of the job itself or a server."""
    return [name for name in recipes.config.synthesised if generator_of(name).is_local == is_local]


def synthesis_generator(wildcards):
    """How the generator of a corpus is run, which changes no answer."""
    source = recipes.config.synthesised[wildcards.corpus]
    return ancient(GENERATOR_SETTINGS.format(generator=source.generator))


def synthesis_table(wildcards):
    """The texts that a corpus is written about."""
    source = recipes.config.synthesised[wildcards.corpus]
    table = CORPUS_DOCUMENTS if read_prompt(source.prompt).of_documents else CORPUS_PAIRS
    return recipes.corpus_files(table, source.documents)


def synthesis_model(wildcards):
    """The model of a generator that runs in the job; none of a server's."""
    generator = generator_of(wildcards.corpus)
    return RETRIEVED_MODEL.format(model=generator.model) if generator.is_local else []


def pass_of(wildcards):
    """A pass over a data set's rows."""
    return recipes.passes_by_key[wildcards.key][1]


def dataset_of_pass(wildcards):
    """The name of a pass's data set."""
    return recipes.passes_by_key[wildcards.key][0].name


def rows_before(wildcards):
    """A part's rows as a pass finds them, behind those of the parts before it if the pass needs them."""
    steps, step = recipes.passes_by_key[wildcards.key]
    until, parts = int(wildcards.part), int(wildcards.parts)
    if step.before:
        files = parts_of(FILTERED, parts, until, folder="prepared", key=step.before)
    else:
        files = parts_of(CORPUS_PAIRS, parts, until, corpus=steps.dataset.corpus)
    return files if step.settings.looks_back else files[-1:]


def audit_before(wildcards):
    """A part's audit by the pass before; none in the first pass."""
    before = pass_of(wildcards).before
    return FILTERED_AUDIT.format(**{**wildcards, "folder": "prepared", "key": before}) if before else []


def pair_scores(wildcards):
    """The scores of a part's rows; none when the pass needs none."""
    scored = pass_of(wildcards).scored
    return PAIR_SCORES.format(**{**wildcards, "key": scored}) if scored else []


def scored_rows(wildcards):
    """A part's rows as they are scored."""
    before = recipes.scored_by_key[wildcards.key].scored.before
    return FILTERED.format(**{**wildcards, "folder": "prepared", "key": before})


def scoring_model(wildcards):
    """The model that scores a data set's pairs."""
    return RETRIEVED_MODEL.format(model=recipes.scored_by_key[wildcards.key].dataset.teacher.model)


def tables_of(names, of_corpus=CORPUS_PAIRS, of_task=EVALUATION_TEXTS):
    """The files of a table of corpora, and of tasks that mteb knows."""
    corpora, files = recipes.config.corpora, []
    for name in names:
        files += recipes.corpus_files(of_corpus, name) if name in corpora else [of_task.format(task=name)]
    return files


def tables_against(wildcards):
    """The corpora and tasks that the filters of a pass compare with."""
    return tables_of(compared_with(pass_of(wildcards).settings.filters))


def counting_models(wildcards):
    """The models whose tokenizers the filters of a pass need."""
    return expand(RETRIEVED_MODEL, model=counted_by(pass_of(wildcards).settings.filters))


def training_pairs(wildcards):
    """The training pairs of the data set that a step of a stage is for."""
    return recipes.pair_files(wildcards.recipe, wildcards.dataset)


def shards_of_miner(wildcards):
    """All shards of a data set by the model that the stage mines with."""
    mining = stage_of(wildcards).mining
    count = recipes.recipes[wildcards.recipe].shards
    return expand(
        SHARD_FINGERPRINT,
        recipe=wildcards.recipe,
        stage=mining.model,
        dataset=wildcards.dataset,
        shard=[f"{shard:05d}" for shard in range(count)],
        shards=f"{count:05d}",
    )


def stage_of(wildcards):
    """A stage as its recipe has it; where it has several seeds and all are meant, one of them."""
    return recipes.stages_by_path(wildcards.recipe)[wildcards.stage]


def parent_models(wildcards):
    """The models that a stage starts from."""
    return [MODEL.format(recipe=wildcards.recipe, stage=parent) for parent in stage_of(wildcards).parents]


def mined_negatives(wildcards):
    """The negatives that a stage mines for a data set; none when it does not mine for it."""
    return NEGATIVES.format(**wildcards) if stage_of(wildcards).mines_for(wildcards.dataset) else []


def stage_teacher(wildcards):
    """The model that teaches a stage."""
    return RETRIEVED_MODEL.format(model=stage_of(wildcards).teacher.model)


def candidate_scores(wildcards):
    """A teacher's scores of a data set's documents, or the pairs that have them; none when the stage does not learn them."""
    learns = "teacher scores" in stage_of(wildcards).teacher_needs(wildcards.dataset).values()
    if not learns:
        return []
    return (
        TEACHER_SCORES.format(**wildcards) if stage_of(wildcards).teacher_model else training_pairs(wildcards)
    )


def teacher_embeddings(wildcards):
    """A teacher's embeddings of a data set's texts; none when the stage does not learn them."""
    learns = "teacher embeddings" in stage_of(wildcards).teacher_needs(wildcards.dataset).values()
    return TEACHER_EMBEDDINGS.format(**wildcards) if learns else []


def stage_tokens(wildcards):
    """The tokens of each of a stage's data sets."""
    stage = stage_of(wildcards)
    return expand(
        TOKENS,
        recipe=wildcards.recipe,
        stage=stage.data_name(wildcards.stage),
        dataset=stage.datasets_read,
    )


def tokens_trained_before(wildcards):
    """The tokens that the ancestors of a stage were trained on."""
    tokens = [
        TOKENS.format(recipe=wildcards.recipe, stage=stage.data_name(name), dataset=dataset)
        for name, stage in recipes.recipes[wildcards.recipe].ancestors(wildcards.stage).items()
        if stage.trains
        for dataset in stage.data
    ]
    return list(dict.fromkeys(tokens))


def chosen_weights(wildcards):
    """The weights of a merge that are chosen on a development set; none when the stage says them."""
    return CHOICE.format(**wildcards) if stage_of(wildcards).held_out else []


def task_settings(wildcards):
    """The settings file of an evaluation task."""
    return recipes.task_settings[wildcards.recipe, wildcards.task]


def task_pairs(wildcards):
    """The rows that a local task is made of; none for a task that mteb knows."""
    task = recipes.tasks(wildcards.recipe)[wildcards.task].task
    return recipes.corpus_files(CORPUS_PAIRS, task.corpus) if task else []


def task_documents(wildcards):
    """The documents that a local task searches in; none for a task that mteb knows."""
    task = recipes.tasks(wildcards.recipe)[wildcards.task].task
    return recipes.corpus_files(CORPUS_DOCUMENTS, task.corpus) if task else []


def task_results(wildcards):
    """Every evaluated stage's result of every task."""
    return expand(
        RESULT,
        recipe=wildcards.recipe,
        stage=recipes.recipes[wildcards.recipe].evaluate.stages,
        task=recipes.tasks(wildcards.recipe),
    )


def parents_compared(wildcards):
    """The evaluated parents of each evaluated stage that does not train, as compare_stages takes them."""
    return [
        f"{stage}={','.join(parents)}"
        for stage, parents in recipes.parents_compared(wildcards.recipe).items()
    ]


def recipe_choices(wildcards):
    """The weights of a recipe's evaluated merges that are chosen on a development set."""
    recipe = wildcards.recipe
    return [
        CHOICE.format(recipe=recipe, stage=stage)
        for stage in recipes.chosen(recipe)
        if stage in recipes.recipes[recipe].evaluate.stages
    ]


def recipe_pairs(wildcards):
    """The training pairs of a recipe."""
    recipe = wildcards.recipe
    return [path for name in recipes.training_data(recipe) for path in recipes.pair_files(recipe, name)]


def evaluation_pairs(wildcards):
    """The rows of the corpora that a recipe's local tasks are made of, and the texts of its other tasks."""
    return tables_of(recipes.leak_check(wildcards.recipe).evaluation)


def evaluation_documents(wildcards):
    """The documents of the same corpora and tasks, in their order."""
    return tables_of(recipes.leak_check(wildcards.recipe).evaluation, CORPUS_DOCUMENTS, EVALUATION_DOCUMENTS)


def trained_stages(wildcards):
    """The stages that train, in the order of the recipe."""
    return recipes.trained(wildcards.recipe)


def stage_metrics(wildcards):
    """The metrics of each stage that trains, in the order of the recipe."""
    return [METRICS.format(recipe=wildcards.recipe, stage=stage) for stage in trained_stages(wildcards)]


def recipe_pages(wildcards):
    """The files of a recipe's report."""
    return recipes.pages(wildcards.recipe)


def recipe_audits(wildcards):
    """The audits of a recipe: its corpora, its data sets, its negatives."""
    return recipes.audits(wildcards.recipe)


def released_model(wildcards):
    """The model of the stage that is released."""
    return MODEL.format(recipe=wildcards.recipe, stage=recipes.recipes[wildcards.recipe].release.stage)


def released_results(wildcards):
    """The results of the stage that is released."""
    return expand(
        RESULT,
        recipe=wildcards.recipe,
        stage=recipes.recipes[wildcards.recipe].release.stage,
        task=recipes.tasks(wildcards.recipe),
    )


def base_model(wildcards):
    """The retrieved model that a recipe starts from."""
    return RETRIEVED_MODEL.format(model=recipes.recipes[wildcards.recipe].base.model)
