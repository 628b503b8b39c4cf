"""The documents of corpora that a stage mines negatives among, embedded once for all data sets that need them equally.

Nothing here imports torch or uses a network: every cluster job parses the workflow again.
"""

from dataclasses import dataclass

from ..files import digest_of
from ..settings.negatives import PoolEncoding
from .recipes import Recipes


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The documents of a corpus as a stage's model embeds them."""

    name: str
    corpus: str
    model: str
    """The stage whose model embeds them."""
    encoding: PoolEncoding
    parts: int
    """In how many parts the corpus is."""
    shards: int
    """In how many shards they are embedded: equally many of each part."""


def pools_of(recipes: Recipes, recipe: str, stage: str, dataset: str) -> list[Pool]:
    """Return the pools that a stage, named as in paths, mines in for a data set, besides its own documents."""
    mining, data = recipes.stages_by_path(recipe)[stage].mining_used, recipes.dataset(recipe, dataset)
    tokenising = recipes.contract(recipe, mining.model).tokenising(data.task, data.prompts)
    encoding = PoolEncoding(
        split=data.split,
        prompts=tokenising.document_prompts,
        seed=tokenising.seed or 0,
        max_tokens=tokenising.max_tokens.document,
        without=recipes.dropped_leaks(recipe),
    )
    key = digest_of(encoding.model_dump(mode="json"))[:8]
    found = []
    for corpus in mining.documents:
        parts = recipes.parts(corpus)
        shards = parts * -(-recipes.recipes[recipe].shards // parts)
        named = {"name": f"{corpus}-{key}", "corpus": corpus, "model": mining.model}
        found.append(Pool(**named, encoding=encoding, parts=parts, shards=shards))
    return found


def pools_of_recipe(recipes: Recipes, recipe: str) -> list[Pool]:
    """Return all pools of a recipe, each once."""
    pools = {}
    for name, stage in recipes.recipes[recipe].stages.items():
        for dataset in filter(stage.mines_for, stage.datasets_read):
            pools |= {(pool.model, pool.name): pool for pool in pools_of(recipes, recipe, name, dataset)}
    return list(pools.values())
