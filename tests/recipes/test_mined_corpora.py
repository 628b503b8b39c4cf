"""Corpora that negatives are mined among: what a recipe makes of their names."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from ascent.recipes.pools import pools_of, pools_of_recipe
from ascent.recipes.step_settings import settings_files
from support.recipes import CORPUS, SMALL, changed

FINETUNE = "stages__finetune__mining__documents"


def loaded(write, parts: int = 1, **changes):
    config = write(small=changed(**{FINETUNE: ["wiki"]} | changes))
    return load_recipes(config | {"corpora": config["corpora"] | {"wiki": CORPUS | {"parts": parts}}})


@pytest.mark.parametrize(("parts", "shards", "each"), [(1, 1, 1), (1, 3, 3), (4, 3, 4), (2, 5, 6)])
def test_each_part_is_embedded_in_equally_many_shards_and_at_least_as_many_as_asked(write, parts, shards, each):
    (pool,) = pools_of(loaded(write, parts, shards=shards), "small", "finetune", "questions")
    assert (pool.corpus, pool.model, pool.parts, pool.shards) == ("wiki", "contrastive", parts, each)


def test_data_sets_share_a_pool_unless_their_documents_are_embedded_otherwise(write):
    data = dict.fromkeys(("questions", "others", "prompted", "held"), SMALL["data"]["questions"])
    data["prompted"] = data["prompted"] | {"prompts": {"document": "passage: "}}
    data["held"] = data["held"] | {"split": "validation"}
    recipes = loaded(write, data=data, stages__finetune__data=list(data))
    names = {name: pools_of(recipes, "small", "finetune", name)[0].name for name in data}
    assert names["questions"] == names["others"]
    assert len(set(names.values())) == len(pools_of_recipe(recipes, "small")) == 3
    prompts = {pool.name: pool.encoding.prompts for pool in pools_of_recipe(recipes, "small")}
    assert prompts[names["prompted"]] == ["passage: "]
    files = settings_files(recipes)
    assert {f"results/small/contrastive/pools/{name}.yaml" for name in names.values()} <= files.keys()


def test_what_drops_test_texts_drops_them_from_pools(write):
    (kept,) = pools_of(loaded(write), "small", "finetune", "questions")
    (dropped,) = pools_of(loaded(write, leaks={"hash": {"test": "drop"}}), "small", "finetune", "questions")
    assert kept.encoding.without is None
    assert dropped.encoding.without.against == ["library", "modules", "similar"]


def test_the_corpus_counts_among_those_that_the_model_learnt_from_and_is_checked(write):
    recipes = loaded(write)
    assert "wiki" in recipes.recipes["small"].made_of[0]
    assert recipes.leak_check("small").pools == {"wiki": ["train"]}
    assert ("corpora", "wiki") in recipes.local_sources
    assert "results/corpora/wiki/audit-00000-of-00001.json" in recipes.audits("small")
    assert load_recipes(write(small=SMALL)).leak_check("small").pools == {}


def test_unknown_and_repeated_corpora_are_refused(write):
    with pytest.raises(AscentError, match=r"'stages.finetune.mining.documents' names the corpus 'wikki', which"):
        loaded(write, **{FINETUNE: ["wikki"]})
    with pytest.raises(AscentError, match="mining.documents': names wiki twice; name it once"):
        loaded(write, **{FINETUNE: ["wiki", "wiki"]})
