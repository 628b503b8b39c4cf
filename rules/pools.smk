# In: a job's wildcards. Out: the files and values of the corpora that a recipe mines negatives among, or searches in.
from ascent.recipes.pools import pools_of, pools_of_recipe

# The pools of all recipes, by recipe, the stage whose model embeds them, and name.
POOLS = {
    (recipe, pool.model, pool.name): pool for recipe in RECIPES for pool in pools_of_recipe(recipes, recipe)
}


def pool_of(wildcards):
    """The documents that a shard of a pool is of."""
    return POOLS[wildcards.recipe, wildcards.stage, wildcards.pool]


def share_of_shard(wildcards):
    """Which share of a part of a corpus a shard of a pool holds, and of how many."""
    each = pool_of(wildcards).shards // pool_of(wildcards).parts
    return f"{int(wildcards.shard) % each} {each}"


def documents_of_shard(wildcards):
    """The part of a corpus's documents that a shard of a pool is of."""
    pool = pool_of(wildcards)
    part = int(wildcards.shard) * pool.parts // pool.shards
    return recipes.corpus_files(CORPUS_DOCUMENTS, pool.corpus)[part]


def tables_against_pool(wildcards):
    """The corpora and tasks with whose test texts a pool's documents are compared."""
    without = pool_of(wildcards).encoding.without
    return tables_of(without.against) if without else []


def pools_mined(wildcards):
    """The pools that a stage mines in for a data set."""
    return pools_of(recipes, wildcards.recipe, wildcards.stage, wildcards.dataset)


def fingerprints_of(wildcards, pool):
    """The fingerprints of all shards of a pool."""
    return expand(
        POOL_FINGERPRINT,
        recipe=wildcards.recipe,
        stage=pool.model,
        pool=pool.name,
        shard=[f"{shard:05d}" for shard in range(pool.shards)],
        shards=f"{pool.shards:05d}",
    )


def shards_of_pools(wildcards):
    """All shards of the pools that a stage mines in for a data set."""
    return [path for pool in pools_mined(wildcards) for path in fingerprints_of(wildcards, pool)]


def documents_of_pools(wildcards):
    """The documents of the pools that a stage mines in for a data set."""
    return documents_in(pool.corpus for pool in pools_mined(wildcards))


def words_of_pools(wildcards):
    """The pools of a data set as mine_negatives takes them."""
    return [
        word
        for pool in pools_mined(wildcards)
        for word in (
            "--pool",
            pool.corpus,
            dirname(fingerprints_of(wildcards, pool)[0]),
            str(pool.shards),
            *recipes.corpus_files(CORPUS_DOCUMENTS, pool.corpus),
        )
    ]


def documents_in(corpora):
    """The documents of corpora."""
    return [path for corpus in corpora for path in recipes.corpus_files(CORPUS_DOCUMENTS, corpus)]


def words_of(option, corpora):
    """The same, each corpus's behind an option and its name."""
    return [word for corpus in corpora for word in (option, corpus, *documents_in([corpus]))]


def mined_corpora(wildcards):
    """The corpora that a recipe mines negatives among."""
    return recipes.recipes[wildcards.recipe].mined_documents


def searched_corpora(wildcards):
    """The corpora that a recipe's local tasks search in, and no task is made of."""
    return recipes.further_pools(wildcards.recipe)


def task_corpora(wildcards):
    """The other corpora whose documents a local task searches in."""
    task = recipes.tasks(wildcards.recipe)[wildcards.task].task
    return task.pools if task else []
