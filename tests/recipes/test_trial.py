"""Recipes shrunk for a trial."""

import copy
from pathlib import Path

import pytest
import yaml

from ascent.errors import AscentError
from ascent.planning.written import written
from ascent.recipes.loading import load_recipes
from ascent.recipes.trial import shrink
from ascent.settings.recipe import Recipe
from ascent.settings.trial import Trial
from ascent.settings.validation import check

SMALL = yaml.safe_load((Path(__file__).parents[1] / "support" / "small.yaml").read_text())
CORPORA = ("library", "similar", "tickets")


def huge() -> dict:
    """What a published recipe may ask for."""
    recipe = copy.deepcopy(SMALL)
    recipe["base"] |= {"model": "eight-billion", "max_tokens": 4096, "heads": {"projection": {"dimension": 1792}}}
    recipe["data"]["teacher"] = {"corpus": "library"}  # a name, and no key
    recipe["stages"]["contrastive"] |= {
        "data": ["questions", "teacher"],
        "batch_size": 19200,
        "max_steps": 4,
        "matryoshka": {1792: 1, 896: 0.5, 256: 0.3},
        "zero": 3,
        "offload_weights": "nvme",
        "weights": "bfloat16",
        "compile": True,
    }
    recipe["stages"]["finetune"] |= {"adapter": {"type": "qlora", "targets": ["q_proj"]}, "precision": "bfloat16"}
    recipe["evaluate"] |= {"benchmarks": ["MTEB(eng, v2)"], "mteb_tasks": ["SciFact"]}
    return recipe


def shrunk(recipe: dict, **trial) -> Recipe:
    return shrink(check(Recipe, recipe, "small.yaml"), check(Trial, trial, "trial"), CORPORA, Path("small.yaml"))


def test_lengths_of_both_sides_shrink():
    found = shrunk(huge() | {"base": huge()["base"] | {"max_tokens": {"query": 8, "document": 512}}}, max_tokens=64)
    assert found.base.max_tokens.model_dump() == {"query": 8, "document": 64}


def test_a_huge_recipe_becomes_one_for_a_laptop():
    found = shrunk(huge(), model="tiny", rows=100, steps=10, batch_size=8, max_tokens=16, queries=5)
    assert (found.base.model, found.base.max_tokens.longest, found.base.heads.projection.dimension) == ("tiny", 16, 32)
    assert [dataset.rows for dataset in found.data.values()] == [100, 100]
    assert (found.data["questions"].teachers[0].model, found.data["questions"].teachers[0].max_tokens.longest) == (
        "tiny",
        16,
    )
    contrastive, finetune = found.stages["contrastive"], found.stages["finetune"]
    assert (contrastive.batch_size, contrastive.max_steps, finetune.max_steps) == (8, 4, 10)
    assert contrastive.matryoshka == {32: 1, 16: 0.5, 4: 0.3}
    assert (contrastive.zero, contrastive.offload_weights, contrastive.weights, contrastive.compile) == (
        0,
        "none",
        "float32",
        False,
    )
    assert (finetune.adapter.type, finetune.adapter.targets) == ("lora", "all-linear")
    assert finetune.mining.max_share_of_positive == 2
    assert (found.evaluate.benchmarks, found.evaluate.mteb_tasks, found.shards) == ([], [], 1)
    assert {task.queries for task in found.evaluate.tasks.values()} == {5}
    assert found.release.name == "ascent/small-trial"


def test_filters_by_a_teacher_drop_nothing_by_another_model():
    recipe = huge()
    rank = {"teacher": {"model": "eight-billion"}, "top": 2, "pool": 1_000_000}
    recipe["data"]["questions"]["filters"] += [{"rank": rank}, {"near_duplicate": {}}, {"cap": {"rows": 9}}]
    recipe["stages"]["finetune"]["adapter"] = {"type": "lora", "rank": 4}
    *_, found, near, cap = shrunk(recipe, model="tiny").data["questions"].filters
    assert (found.settings.teacher.model, found.settings.top) == ("tiny", 10**9)
    assert (near.settings.similarity, cap.settings.rows) == (0.8, 9)
    assert shrunk(recipe, model="tiny").stages["finetune"].adapter.rank == 4
    assert shrunk(recipe).data["questions"].filters[-3].settings.top == 2


def test_of_other_corpora_rows_are_not_counted_by_origin():
    recipe = copy.deepcopy(SMALL)
    counting = {by: {"by": by, "rows": 9} for by in ("query", "host", "origin")}
    recipe["data"]["questions"] |= {"filters": [{"cap": each} for each in counting.values()]}
    for by in ("origin", "query"):
        recipe["data"]["questions"]["repeat"] = counting[by]
        replaced = shrunk(recipe, corpus={"retrieval": "tickets"}, model="tiny").data["questions"]
        assert [each.cap.by for each in replaced.filters] == ["query"]
        assert (replaced.repeat and replaced.repeat.by) == (None if by == "origin" else "query")
        own = shrunk(recipe, model="tiny").data["questions"]
        assert [each.cap.by for each in own.filters if each.cap] == [*counting] and own.repeat.by == by


def test_without_another_model_a_recipe_keeps_what_belongs_to_its_own():
    found = shrunk(huge(), rows=100)
    assert (found.base.model, found.base.heads.projection.dimension) == ("eight-billion", 1792)
    assert found.stages["contrastive"].matryoshka == {1792: 1, 896: 0.5, 256: 0.3}
    assert found.stages["finetune"].adapter.targets == ["q_proj"]
    assert found.data["questions"].teachers[0].model == "tiny"


def test_corpora_and_tasks_that_are_out_of_reach_are_replaced():
    recipe = copy.deepcopy(SMALL)
    del recipe["evaluate"]["tasks"]
    recipe["evaluate"]["benchmarks"] = ["MTEB(eng, v2)"]
    with pytest.raises(
        AscentError, match="^small.yaml: a trial leaves out tasks of mteb and the recipe has no others; give"
    ):
        shrunk(recipe)
    tasks = {"Tickets": {"type": "retrieval", "corpus": "tickets"}}
    found = shrunk(recipe, corpora={"library": "tickets"}, tasks=tasks)
    assert found.data["questions"].corpus == "tickets"
    assert list(found.evaluate.tasks) == ["Tickets"]


def test_one_corpus_for_each_type_of_rows_replaces_all_others_and_the_tasks():
    recipe = huge()
    recipe["data"]["graded"] = {"corpus": "far", "task": "sts"}
    against_itself = {"contamination": {"against": ["far"]}}
    counting = {"tokens": {"model": "small"}}
    recipe["data"]["held"] = {"corpus": "far", "filters": ["clean", "language", counting, against_itself]}
    recipe["stages"]["contrastive"]["development"] = {"data": "held"}
    recipe["stages"]["finetune"]["mining"]["ranks"] = [5, 30]
    recipe["base"]["max_tokens"] = 4096
    found = shrunk(recipe, corpus={"retrieval": "tickets", "sts": "similar"}, queries=5)
    assert {name: dataset.corpus for name, dataset in found.data.items()} == {
        "questions": "tickets",
        "teacher": "tickets",
        "graded": "similar",
        "held": "tickets",
    }
    assert [list(each.chosen) for each in found.data["held"].filters] == [["clean"]]
    assert (found.data["held"].split, found.data["questions"].split) == ("validation", "train")
    assert found.stages["finetune"].mining.ranks == (0, 25)
    against = [each.contamination.against for each in found.data["questions"].filters if each.contamination]
    assert against == [["tickets", "similar"]]
    tasks = {name: (task.type, task.corpus, task.queries) for name, task in found.evaluate.tasks.items()}
    assert tasks == {"Retrieval": ("retrieval", "tickets", 5), "Sts": ("sts", "similar", 5)}
    lengths = [each.length for each in found.data["questions"].filters if each.length]
    assert {(length.query, length.positive) for length in lengths} == {((1, 10**9), (1, 10**9))}
    alone = shrunk(recipe, corpus="tickets")
    assert (alone.data["graded"].corpus, list(alone.evaluate.tasks)) == ("far", ["Retrieval"])
    counted = shrunk(recipe, model="tiny").data["held"].filters[2].tokens
    assert counted.model == "tiny"


def test_corpora_that_a_language_model_writes_are_written_small(write):
    """So is one that is written about another such; the texts that both are about stay whole."""
    recipe = copy.deepcopy(SMALL)
    recipe["data"]["questions"]["corpus"] = "rewritten"
    recipe["data"]["few"] = {"corpus": "few"}
    recipe["stages"]["contrastive"]["data"] = ["questions", "few"]
    recipe["evaluate"]["tasks"]["LibraryRetrieval"]["corpus"] = "written"
    config = write(small=recipe)

    def made(documents, prompt, rows):
        source = {"type": "synthesis", "documents": documents, "prompt": prompt, "generator": "g", "rows": rows}
        return {"source": source, "reader": {"type": "synthesised"}, "licence": "mit", "language": "eng-Latn"}

    config["generators"] = {"g": {"type": "openai", "address": "http://127.0.0.1:1/v1", "model": "m"}}
    config["corpora"] |= {
        "written": made("library", "queries", 5000),
        "rewritten": made("written", "query-rewriting", 900),
        "few": made("library", "queries", 30),
    }
    trial = {"rows": 50, "corpora": {"modules": "written"}}
    recipes = load_recipes(config | {"trial": trial})
    found = recipes.recipes["small-trial"]
    assert {name: dataset.corpus for name, dataset in found.data.items()} == {
        "questions": "rewritten-trial",
        "few": "few",
    }
    tasks = {task.corpus for task in found.evaluate.tasks.values()}
    assert tasks == {"written-trial", "similar"}  # in place of `modules`, too
    sources = recipes.config.synthesised
    asked = {name: (source.documents, source.rows) for name, source in sources.items()}
    assert asked == {
        "written": ("library", 5000),
        "rewritten": ("written", 900),
        "few": ("library", 30),
        "written-trial": ("library", 50),
        "rewritten-trial": ("written-trial", 50),
    }
    assert recipes.answers("written-trial") == recipes.answers("written") == "resources/answers/written.sqlite"
    assert load_recipes(config).answers("a-trial") == "resources/answers/a-trial.sqlite"
    lines = {each.corpus: each.requests for each in written(recipes, "small-trial")}
    assert lines == {"written-trial": 50, "rewritten-trial": 50, "few": 30}
    assert load_recipes(config).recipes["small"].data["questions"].corpus == "rewritten"
    config["corpora"]["written-trial"] = config["corpora"]["library"]
    with pytest.raises(AscentError, match=r"'corpora.written-trial' has the name of the copy .* of written; rename it"):
        load_recipes(config | {"trial": trial})


def test_a_replaced_model_attends_alike_as_base_and_as_teacher():
    found = shrunk(huge(), model="tiny", attention="causal")
    assert (found.base.attention, found.data["questions"].teachers[0].attention) == ("causal", "causal")


def test_numbers_that_are_smaller_stay():
    recipe = copy.deepcopy(SMALL)
    recipe["stages"]["contrastive"]["batch_size"] = 4
    recipe["data"]["questions"]["rows"] = 7
    found = shrunk(recipe, batch_size=8, max_tokens=64)
    assert (found.stages["contrastive"].batch_size, found.base.max_tokens.longest, found.data["questions"].rows) == (
        4,
        32,
        7,
    )


def test_corpora_that_are_searched_are_those_of_the_trial_each_once():
    recipe = huge()
    recipe["evaluate"]["tasks"]["LibraryRetrieval"]["documents"] = ["library", "similar"]
    found = shrunk(recipe, corpora={"similar": "tickets", "library": "tickets"})
    assert found.evaluate.tasks["LibraryRetrieval"].documents == ["tickets"]
    assert shrunk(recipe).evaluate.tasks["LibraryRetrieval"].documents == ["library", "similar"]
