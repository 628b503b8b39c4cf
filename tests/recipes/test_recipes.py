"""Recipes checked as a whole, and the settings files that follow from them."""

import re
from pathlib import Path

import pytest
import yaml

from ascent.errors import AscentError
from ascent.recipes.loading import CONFIG_FILES, load_recipes, read_config
from ascent.recipes.step_settings import settings_files
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.settings.pairs import Filtering
from ascent.settings.stages import StageSettings
from ascent.settings.validation import check, load
from support.recipes import CORPUS, PRETRAINING, SMALL, changed, data, filters, keys


def test_the_small_recipe_is_right(write):
    recipes = load_recipes(write(small=SMALL))
    assert {name: stage.rule for name, stage in recipes.recipes["small"].stages.items()} == {
        "contrastive": "contrastive",
        "finetune": "finetune",
        "merge": "merge",
    }
    assert recipes.trained("small") == ["contrastive", "finetune"]
    assert recipes.evaluation_corpora("small") == ["library", "modules", "similar"]
    assert recipes.audits("small") == [
        *(f"results/corpora/{corpus}/audit-00000-of-00001.json" for corpus in ("library", "modules", "similar")),
        data(recipes, "pairs", "audit-00000-of-00001.json"),
        "results/small/finetune/negatives/questions.audit.json",
    ]


def test_a_stage_that_replaces_negatives_has_an_audit_of_it_and_its_miner_only_the_reserve(write):
    mining = {"model": "contrastive", "per_query": 1, "reserve": 5, "dynamic": {"every_steps": 2}}
    recipes = load_recipes(write(small=changed(stages__finetune__mining=mining, stages__finetune__epochs=2)))
    assert recipes.audits("small")[-1] == "results/small/finetune/replacements.json"
    mined = yaml.safe_load(settings_files(recipes)["results/small/finetune/mining.yaml"])
    assert mined["reserve"] == 5 and "dynamic" not in mined


@pytest.mark.parametrize(("use", "mines"), [({"in_batch": True}, False), ({"mine": True}, True)])
def test_labels_of_classes_are_mined_only_if_asked(write, use, mines):
    data = {"questions": SMALL["data"]["questions"], "topics": {"corpus": "modules", "task": "classification"}}
    recipe = changed(data=data, stages__finetune__data={"questions": {}, "topics": use})
    stage = load_recipes(write(small=recipe)).recipes["small"].stages["finetune"]
    assert {name: stage.mines_for(name) for name in stage.data} == {"questions": True, "topics": mines}


def test_labels_need_negatives_that_something_gives(write):
    """Other rows' labels are none: another row may have the same."""
    data = {"questions": SMALL["data"]["questions"], "topics": {"corpus": "modules", "task": "classification"}}
    config = write(small=changed(data=data, stages__contrastive__data=["questions", "topics"]))

    def corpus(negatives: int) -> dict:
        names = {"a": "one", "b": "another"}
        return CORPUS | {"extract": [{"label_as_positive": {"names": names, "negatives": negatives}}]}

    config["corpora"]["modules"] = corpus(1)
    load_recipes(config)
    config["corpora"]["modules"] = corpus(0)
    with pytest.raises(AscentError, match=r"data\.topics' has nothing to learn by 'infonce', .* set in_batch: true\.$"):
        load_recipes(config)


def test_a_stage_mines_for_the_data_sets_that_have_a_use_for_negatives():
    """As Conan's: pairs with mined negatives beside graded ones."""
    stage = {
        "from": ["contrastive"],
        "objective": {"infonce": {}},
        "batching": "balanced",
        "mining": {"model": "contrastive"},
    }
    stage["data"] = {
        "pairs": {},
        "graded": {"objective": "cosent"},
        "own": {"mine": False},
        "both": {"objective": "margin_mse"},
    }
    found = check(Contrastive, stage | {"teacher": {"type": "cross-encoder", "model": "m"}}, "x")
    assert {name: found.mines_for(name) for name in found.data} == {
        "pairs": True,
        "graded": False,
        "own": False,
        "both": True,
    }
    assert not found.mines_for("held out")


def test_the_repository_s_own_configuration_is_right(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    files = settings_files(load_recipes(read_config()))
    assert "results/demo/contrastive/stage.yaml" in files


def test_the_configuration_is_merged_as_by_the_snakefile(tmp_path):
    root = Path(__file__).parents[2]
    assert (
        tuple(re.findall(r'^configfile: found\("(.*)"\)$', (root / "Snakefile").read_text(), re.MULTILINE))
        == CONFIG_FILES
    )
    (tmp_path / "mine.yaml").write_text("corpora: {lee: {licence: mit}}\nrecipes: []\n")
    config = read_config(tmp_path / "mine.yaml")
    assert config["recipes"] == []
    assert config["corpora"]["lee"] == read_config()["corpora"]["lee"] | {"licence": "mit"}


def test_a_benchmark_stands_for_its_tasks(write):
    recipes = load_recipes(
        write(small=changed(evaluate__benchmarks=["MTEB(eng, v2)"], evaluate__mteb_tasks=["SciFact"]))
    )
    tasks = recipes.tasks("small")
    assert tasks["LibraryRetrieval"].task is not None
    assert tasks["SciFact"].task is None
    assert len(tasks) == 3 + 1 + 41  # MTEB(eng, v2) has 41 tasks (arXiv 2502.13595, table 8), SciFact not among them


def test_a_method_that_drops_is_a_filter_of_every_data_set(write):
    """The last, with the corpora and tasks that the leak check compares with."""
    leaks = {"ngram": {"test": "drop", "size": 8}, "near_duplicate": {"test": "drop"}}
    recipes = load_recipes(write(small=changed(leaks=leaks, evaluate__mteb_tasks=["SciFact"])))
    assert load_recipes(write(small=SMALL)).steps("small", "questions").key != recipes.steps("small", "questions").key
    *others, last = recipes.steps("small", "questions").dataset.filters
    assert len(others) == len(SMALL["data"]["questions"]["filters"])
    drop = last.contamination
    assert drop.against == ["library", "modules", "similar", "SciFact"] == recipes.leak_check("small").evaluation
    assert {name: (method.test, getattr(method, "size", None)) for name, method in drop.methods.chosen.items()} == {
        "ngram": ("report", 8),
        "near_duplicate": ("report", None),
    }
    written = yaml.safe_load(settings_files(recipes)[data(recipes, "pairs", "filtering.yaml")])
    assert check(Filtering, written, "filtering.yaml").filters[-1] == last


def test_names_are_local_to_a_recipe(write):
    """Two recipes use one name for different data, and for stages of different kinds; what they have in common is done
    once."""
    other = changed(data__questions__filters=filters(score={"min": 0.5}), stages__finetune__mining=None)
    both = load_recipes(write(small=SMALL, other=other))
    small, other = (keys(both, recipe) for recipe in ("small", "other"))
    assert {step for step in small if small[step] == other[step]} == {"prepared 1", "prepared 2", "scored"}
    assert {*both.passes_by_key, *both.measures_by_key} == {*small.values(), *other.values()}
    assert ("small", "finetune") in both.stages("finetune") and ("other", "finetune") in both.stages("contrastive")
    same = load_recipes(write(small=SMALL, other=changed(stages__finetune__learning_rate=1.0)))
    assert same.steps("small", "questions") == same.steps("other", "questions")


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"data__questions__filters": filters(score={"min": 0.1})}, {"pairs"}),
        ({"data__questions__filters": [*SMALL["data"]["questions"]["filters"], "duplicate"]}, {"pairs"}),
        (
            {"data__questions__filters": filters(score={"teacher": {"model": "tiny", "max_tokens": 16}})},
            {"scored", "pairs"},
        ),
        (
            {"data__questions__filters": filters(contamination={"against": ["similar"]})},
            {"prepared 2", "scored", "pairs"},
        ),
        ({"base__max_tokens": 16}, set()),
    ],
)
def test_a_data_set_s_folders_are_keyed_by_what_they_depend_on(write, changes, again):
    before, after = (keys(load_recipes(write(small=recipe))) for recipe in (SMALL, changed(**changes)))
    assert {step for step in before if before[step] != after.get(step)} == again


def test_prompts_are_inherited_from_the_nearest_stage_that_sets_them(write):
    recipe = changed(base__prompts={"query": {"default": "base: "}}, stages__merge__from=["finetune", "last"])
    recipe["stages"]["last"] = {"from": ["finetune"], "objective": "infonce", "data": ["questions"]}
    recipe["stages"]["merge"].pop("prompts")
    recipes = load_recipes(write(small=recipe))
    prompts = {stage: recipes.contract("small", stage).prompt("query", "retrieval") for stage in recipe["stages"]}
    assert prompts == {"contrastive": "base: ", "finetune": "question: ", "merge": "question: ", "last": "question: "}
    # All else is the base's.
    assert recipes.contract("small", "merge") == Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}})


def test_the_leak_check_has_whatever_a_stage_reads(write):
    """Data sets that only pre-training or a development split uses, too."""
    recipe = changed(
        stages__contrastive__from=["pretrain"],
        stages__contrastive__development={"data": "held"},
        data__documents={"corpus": "library", "filters": ["clean"]},
        data__held={"corpus": "library", "split": "validation"},
        data__unused={"corpus": "library", "filters": []},
    )
    recipe["stages"]["pretrain"] = PRETRAINING | {"data": ["documents"], "objective": "mlm"}
    recipes = load_recipes(write(small=recipe))
    checked = {recipes.steps("small", name).key for name in ("documents", "held", "questions")}
    assert set(recipes.leak_check("small").training) == checked


def test_a_pre_training_stage_has_a_kind_of_its_own_and_tokens_without_prompts(write, tmp_path):
    recipe = changed(base__prompts={"document": {"default": "passage: "}}, stages__contrastive__from=["pretrain"])
    recipe["stages"]["pretrain"] = PRETRAINING | {"objective": {"type": "retromae", "decoder_mask": 0.7}}
    recipes = load_recipes(write(small=recipe))
    assert [stage.rule for stage in recipes.recipes["small"].stages.values()] == [
        *("contrastive", "finetune", "merge", "pretrain"),
    ]
    assert recipes.stages("pretrain") == [("small", "pretrain")]
    files = settings_files(recipes)
    assert "passage: " in files["results/small/contrastive/tokens/questions.yaml"]
    assert "passage: " not in files["results/small/pretrain/tokens/questions.yaml"]
    # Later stages inherit the prompts all the same.
    assert recipes.contract("small", "pretrain").prompt("document", "retrieval") == "passage: "
    (tmp_path / "settings.yaml").write_text(files["results/small/pretrain/stage.yaml"])
    stage = load(StageSettings, tmp_path / "settings.yaml").stage
    assert stage == recipes.recipes["small"].stages["pretrain"]
    assert yaml.safe_load(files["results/small/pretrain/stage.yaml"])["stage"]["objective"] == {
        "type": "retromae",
        "encoder_mask": 0.3,
        "decoder_mask": 0.7,
    }
