# In: a job's wildcards. Out: the files and values that its rule asks of the recipes, in the order in which rules use
# them.
from ascent.recipes.synthesis import read_prompt
from ascent.settings.filters import compared_with, counted_by


def files_of_source(wildcards):
    """The files of this machine that a source reads, so that an edit of one is seen: by its digest, where recipes use it."""
    files = recipes.source_files(wildcards.kind, wildcards.name)
    if (wildcards.kind, wildcards.name) not in recipes.local_sources:
        return files
    return [SOURCE_DIGESTS.format(**wildcards), *map(ancient, files)]


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


def kept_answers(wildcards):
    """The file of the answers for a corpus, which a trial's copy of it shares."""
    return recipes.answers(wildcards.corpus)


def pass_of(wildcards):
    """A pass over a data set's rows."""
    return recipes.passes_by_key[wildcards.key][1]


def dataset_of_pass(wildcards):
    """The name of a pass's data set."""
    return recipes.passes_by_key[wildcards.key][0].name


def rows_before(wildcards):
    """A part's rows as a pass finds them, and those of the other parts that the pass needs."""
    steps, step = recipes.passes_by_key[wildcards.key]
    if step.before:
        files = parts_of(FILTERED, int(wildcards.parts), folder="prepared", key=step.before)
    else:
        files = parts_of(CORPUS_PAIRS, int(wildcards.parts), corpus=steps.dataset.corpus)
    return step.settings.read_for(int(wildcards.part), files)


def place_of_part(wildcards):
    """The place of a part's rows among those that a pass reads."""
    return int(wildcards.part) if pass_of(wildcards).settings.looks_everywhere else -1


def audit_before(wildcards):
    """A part's audit by the pass before; none in the first pass."""
    before = pass_of(wildcards).before
    return FILTERED_AUDIT.format(**{**wildcards, "folder": "prepared", "key": before}) if before else []


def measured_tables(wildcards):
    """What is measured of the rows that a pass reads; none when it needs none."""
    step = pass_of(wildcards)
    if step.measuring is None:
        return []
    _, table = MEASURED[step.measuring.measured]
    files = parts_of(table, int(wildcards.parts), key=step.measuring.key)
    return step.settings.read_for(int(wildcards.part), files)


def measured_rows(wildcards):
    """A part's rows as they are measured."""
    _, measuring = recipes.measures_by_key[wildcards.key]
    before = measuring.before
    return FILTERED.format(**{**wildcards, "folder": "prepared", "key": before})


def measuring_model(wildcards):
    """The model by which a data set's rows are measured."""
    _, measuring = recipes.measures_by_key[wildcards.key]
    return RETRIEVED_MODEL.format(model=measuring.settings.used)


def all_measured_rows(wildcards):
    """The rows of all parts of a data set as they are measured."""
    steps, measuring = recipes.measures_by_key[wildcards.key]
    return parts_of(FILTERED, recipes.parts(steps.dataset.corpus), folder="prepared", key=measuring.before)


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


def comparing_model(wildcards):
    """The model by whose embeddings training texts are compared with those of tasks; none unless the recipe asks for it."""
    embedding = recipes.recipes[wildcards.recipe].leaks.embedding
    return RETRIEVED_MODEL.format(model=embedding.encoder.model) if embedding.is_used else []


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


def described_name(wildcards):
    """The name of the corpus or data set that a table is of."""
    kind, name = wildcards.table.split("/")
    return name if kind == "corpora" else recipes.passes_by_key[name][0].name


def described_pairs(wildcards):
    """The pairs of a corpus, or the training pairs of a data set."""
    kind, name = wildcards.table.split("/")
    if kind == "corpora":
        return recipes.corpus_files(CORPUS_PAIRS, name)
    corpus = recipes.passes_by_key[name][0].dataset.corpus
    return parts_of(FILTERED, recipes.parts(corpus), folder="pairs", key=name)


def described_documents(wildcards):
    """The documents of a corpus; a data set has none."""
    kind, name = wildcards.table.split("/")
    return recipes.corpus_files(CORPUS_DOCUMENTS, name) if kind == "corpora" else []


def recipe_statistics(wildcards):
    """The statistics of a recipe's corpora and data sets, in tokens of its base."""
    recipe = wildcards.recipe
    model = recipes.recipes[recipe].base.model
    return [STATISTICS.format(table=table, model=model) for table in recipes.tables(recipe)]


def steps_of_samples(wildcards):
    """The steps of the data set that a page of samples shows."""
    return recipes.steps(wildcards.recipe, wildcards.dataset)


def parts_of_samples(wildcards, pattern, **names):
    """The files of the parts of what is made of that data set."""
    return parts_of(pattern, recipes.parts(steps_of_samples(wildcards).dataset.corpus), **names)


def sampled_audits(wildcards):
    """The audits of a data set and of its corpus."""
    steps = steps_of_samples(wildcards)
    own = parts_of_samples(wildcards, FILTERED_AUDIT, folder="pairs", key=steps.key)
    return recipes.corpus_files(CORPUS_AUDIT, steps.dataset.corpus) + own


def sampled_drops(wildcards):
    """Rows that the filters of a data set dropped, of all passes."""
    passes = steps_of_samples(wildcards).passes
    return [
        path
        for step in passes
        for path in parts_of_samples(wildcards, DROPPED, folder=step.folder, key=step.key)
    ]


def sampled_scores(wildcards):
    """The teacher's scores of a data set's pairs; none where no filter needs them."""
    measures = steps_of_samples(wildcards).measures
    keys = [each.key for each in measures if each.measured == "scores"]
    return [path for key in keys for path in parts_of_samples(wildcards, PAIR_SCORES, key=key)]


def recipe_data_audits(wildcards):
    """The audits of a recipe's data sets and of their corpora, which there are before anything is trained."""
    return recipes.data_audits(wildcards.recipe)


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
