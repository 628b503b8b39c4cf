"""Recipes checked as a whole, and the settings files that follow from them."""

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml

from ascent.errors import AscentError
from ascent.recipes.loading import CONFIG_FILES, load_recipes, read_config
from ascent.recipes.step_settings import settings_files
from ascent.settings.contrastive import Contrastive
from ascent.settings.corpora import Reading
from ascent.settings.evaluation import TaskSettings
from ascent.settings.model import Adoption, Contract
from ascent.settings.negatives import Mining
from ascent.settings.pairs import Filtering, Preparation, Scoring
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.stages import StageSettings
from ascent.settings.validation import check, load

SUPPORT = Path(__file__).parents[1] / "support"
SMALL = yaml.safe_load((SUPPORT / "small.yaml").read_text())
SOURCE = {"type": "files", "paths": ["a.jsonl"]}
CORPUS = {"source": SOURCE, "reader": {"pairs": {}}, "licence": "mit", "language": "eng-Latn"}


@pytest.fixture
def write(tmp_path):
    """Write recipes by name, and return a configuration that builds them."""

    def _write(**recipes) -> dict:
        for name, recipe in recipes.items():
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        return {
            "recipes": list(recipes),
            "recipe_folder": str(tmp_path),
            "corpora": dict.fromkeys(("library", "modules", "similar"), CORPUS),
            "models": {"tiny": {"source": {"type": "files", "paths": ["model"]}, "licence": "mit"}},
        }

    return _write


def changed(**changes) -> dict:
    """The small recipe with values set by dotted key, dots written as double underscores."""
    recipe = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *path, last = key.split("__")
        node = recipe
        for part in path:
            node = node[part]
        node[last] = value
    return recipe


PRETRAINING = {"type": "pretraining", "data": ["questions"]}
ITSELF = {"data__texts": {"corpus": "library", "positive": "query"}, "stages__contrastive__data": ["texts"]}


def data(recipes, step: str, file: str, name: str = "questions") -> str:
    """A file of a step of a data set of the small recipe."""
    return f"results/{step}/{recipes.steps('small', name).keys[step]}/{file}"


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
        *(f"results/corpora/{corpus}/audit.json" for corpus in ("library", "modules", "similar")),
        data(recipes, "pairs", "audit.json"),
        "results/small/finetune/negatives/questions.audit.json",
    ]


def test_a_stage_that_replaces_negatives_has_an_audit_of_it_and_its_miner_only_the_reserve(write):
    mining = {"model": "contrastive", "per_query": 1, "reserve": 5, "dynamic": {"every_steps": 2}}
    recipes = load_recipes(write(small=changed(stages__finetune__mining=mining, stages__finetune__epochs=2)))
    assert recipes.audits("small")[-1] == "results/small/finetune/replacements.json"
    mined = yaml.safe_load(settings_files(recipes)["results/small/finetune/mining.yaml"])
    assert mined["reserve"] == 5 and "dynamic" not in mined


def test_a_stage_mines_for_the_data_sets_that_have_a_use_for_negatives():
    """As Conan's: pairs with mined negatives beside graded ones."""
    stage = {"from": ["contrastive"], "objective": {"infonce": {}}, "batching": "balanced", "mining": {"model": "contrastive"}}
    stage["data"] = {"pairs": {}, "graded": {"objective": "cosent"}, "own": {"mine": False}, "both": {"objective": "margin_mse"}}
    found = check(Contrastive, stage | {"teacher": {"type": "cross-encoder", "model": "m"}}, "x")
    assert {name: found.mines_for(name) for name in found.data} == {"pairs": True, "graded": False, "own": False, "both": True}
    assert not found.mines_for("held out")


def test_the_repository_s_own_configuration_is_right(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    files = settings_files(load_recipes(read_config()))
    assert "results/demo/contrastive/stage.yaml" in files


def test_the_configuration_is_merged_as_by_the_snakefile(tmp_path):
    root = Path(__file__).parents[2]
    assert tuple(re.findall(r'^configfile: "(.*)"$', (root / "Snakefile").read_text(), re.MULTILINE)) == CONFIG_FILES
    (tmp_path / "mine.yaml").write_text("corpora: {lee: {licence: mine}}\nrecipes: []\n")
    config = read_config(tmp_path / "mine.yaml")
    assert config["recipes"] == []
    assert config["corpora"]["lee"] == read_config()["corpora"]["lee"] | {"licence": "mine"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages__finetune__learning_rat": 1}, "unknown key 'stages.finetune.learning_rat'; did you mean 'learning_rate'?"),
        (
            {"stages__finetune__adapter": {"rank": 8}},
            "'stages.finetune.adapter' lacks 'type', which says what kind it is",
        ),
        ({"stages__finetune__adapter": "lora"}, "'stages.finetune.adapter' is 'lora', but it should be a map of settings."),
        ({"stages__finetune__queue": True}, "'stages.finetune.queue' is True, but it should be a map of settings."),
        (
            {"stages__finetune__adapter": {"type": "lora", "targets": "q_proj"}},
            "'stages.finetune.adapter.targets' is 'q_proj', but it should be 'all-linear'",
        ),
        ({"evalute": {}}, "unknown key 'evalute'; did you mean 'evaluate'?"),
        (
            {"stages__finetune__from": ["contrastve"]},
            "'stages.finetune.from' names the stage 'contrastve', which does not exist; did you mean 'contrastive'?",
        ),
        (
            {"stages__contrastive__adapter": {"type": "lora", "rnak": 4}},
            "unknown key 'stages.contrastive.adapter.rnak'; did you mean 'rank'?",
        ),
        (
            {"stages__contrastive__adapter": {"type": "soft_prompt"}},
            "'stages.contrastive.adapter' trains soft tokens, but no prompt of its data sets' task types contains any; set "
            "base.soft_tokens and put <soft0> and so on into these prompts.",
        ),
        (
            {
                "base__soft_tokens": 1,
                "base__prompts": {"query": {"sts": "<soft0>"}},
                "stages__contrastive__adapter": {"type": "soft_prompt"},
            },
            "'stages.contrastive.adapter' trains soft tokens, but no prompt of its data sets' task types contains any; set ",
        ),
        (
            {"stages__contrastive__objective": "spread_out"},
            "'stages.contrastive.objective' of data set 'questions' is only a regulariser, spread_out; name a loss in addition.",
        ),
        (
            {
                "base__normalise": False,
                "base__similarity": "dot",
                "stages__contrastive__objective": {"infonce": {"tau_plus": 0.1}},
            },
            "'stages.contrastive.objective' sets tau_plus, which needs unit-length embeddings, but base.normalise is false",
        ),
        (
            {"base__soft_tokens": 2, "stages__finetune__prompts": {"query": {"retrieval": "<soft0><soft2>"}}},
            "a prompt of stage 'finetune' holds '<soft2>', but base.soft_tokens is 2; raise it, or fix the prompt.",
        ),
        (
            {"stages__contrastive__adapter": {"type": "qlora"}, "stages__contrastive__zero": 3},
            "adapter: qlora supports neither zero: 3 nor precision: float8: set zero: 2, bfloat16",
        ),
        (
            {"stages__contrastive__weights": "bfloat16"},
            "'stages.contrastive': weights: bfloat16 needs zero: 1, 2 or 3, whose optimizer holds the float32 weights.",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": "mlm", "adapter": {"type": "soft_prompt"}}},
            "'stages.contrastive': adapter: soft_prompt trains tokens of prompts, and pre-training uses no prompts: use lora.",
        ),
        (
            {"stages__finetune__objective": {"infonce": {"mixing": {"listwise": True}}}},
            "'stages.finetune': mixing combines two negatives of a row, but mining.per_query is 1: raise it.",
        ),
        ({"stages__contrastive__from": ["finetune"]}, "the stages go in a circle (contrastive <- finetune <- contrastive)"),
        ({"stages__contrastive__from": ["contrastive"]}, "the stages go in a circle"),
        (
            {"stages__finetune__mining__model": "merge"},
            "the stages go in a circle",
        ),
        ({"stages__contrastive__from": ["base", "base"]}, "'stages.contrastive.from' has 2 parents, but training starts"),
        (
            {"stages__base": {"objective": "infonce", "data": ["questions"]}},
            "'stages.base' is the name of the model before training",
        ),
        (
            {"stages__finetune__data": ["question"]},
            "'stages.finetune.data' names the data set 'question', which does not exist; did you mean 'questions'?",
        ),
        (
            {"stages__finetune__mining__model": "contrast"},
            "'stages.finetune.mining.model' names the stage 'contrast', which does not exist; did you mean 'contrastive'?",
        ),
        ({"base__model": "tny"}, "'base.model' names the model 'tny', which does not exist; did you mean 'tiny'?"),
        (
            {"data__questions__corpus": "libary"},
            "'data.questions.corpus' names the corpus 'libary', which does not exist; did you mean 'library'?",
        ),
        (
            {"data__questions__filters": [{"contamination": {"against": ["libary"]}}]},
            "'data.questions.filters' names the corpus or task 'libary', which does not exist; did you mean 'library'?",
        ),
        (
            {"data__questions__filters": [{"score": {"teacher": {"model": "big"}, "min": 0}}]},
            "'data.questions.filters' names the model 'big', which does not exist; known are: tiny.",
        ),
        (
            {
                "stages__finetune__objective": "distill_kl",
                "stages__finetune__teacher": {"model": "big", "type": "cross-encoder"},
            },
            "'stages.finetune.teacher.model' names the model 'big', which does not exist; known are: tiny.",
        ),
        (
            {"stages__finetune__objective": {"infonce": {}, "distill_kl": {}}},
            "'stages.finetune': the objective 'distill_kl' learns from a teacher: give the stage a teacher.",
        ),
        (
            {"evaluate__tasks__Similar__type": "stz"},
            "'evaluate.tasks.Similar.type' is 'stz'; did you mean 'sts'?",
        ),
        (
            {"evaluate__tasks__Similar__corpus": "simlar"},
            "'evaluate.tasks.Similar.corpus' names the corpus 'simlar', which does not exist; did you mean 'similar'?",
        ),
        (
            {"evaluate__stages": ["base", "merged"]},
            "'evaluate.stages' names the stage 'merged', which does not exist; did you mean 'merge'?",
        ),
        (
            {"release__stage": "merged"},
            "'release.stage' names the evaluated stage 'merged', which does not exist; did you mean 'merge'?",
        ),
        (
            ITSELF | {"stages__contrastive__dropout": 0},
            "'stages.contrastive.dropout' is 0, but in data set 'texts' query and positive are the same text, so their ",
        ),
        (
            ITSELF | {"stages__contrastive__prompts": {"query": {"retrieval": "find: "}}},
            "'stages.contrastive.prompts' differ by side, but in data set 'texts' query and positive are the same text; give "
            "both sides the same prompt, or none.",
        ),
        (
            ITSELF | {"stages__finetune__data": ["questions", "texts"]},
            "'stages.finetune.mining' finds negatives of pairs, but in data set 'texts' query and positive are the same text",
        ),
        (
            ITSELF | {"stages__contrastive__data": ["questions"], "stages__contrastive__development": {"data": "texts"}},
            "'stages.contrastive.development' needs something to find, but in data set 'texts' query and positive are the same",
        ),
        (
            {"data__questions__positive": "query"},
            "positive: query leaves a teacher nothing to score, since both texts are one; remove the filter",
        ),
        ({"stages__merge__weights": [1]}, "weights has 1 numbers for 2 parents"),
        ({"stages__merge__prompts": None}, "the parents of stage 'merge' (contrastive, finetune) have different prompts"),
        ({"release__name": "small"}, "'release.name' is 'small', but "),
        (
            {"stages__contrastive": {"type": "pretraining", "objective": "mlm", "data": ["questions"], "matryoshka": {16: 1}}},
            "unknown key 'stages.contrastive.matryoshka'; ",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": {"type": "retromae", "encoder_masc": 0.3}}},
            "unknown key 'stages.contrastive.objective.encoder_masc'; did you mean 'encoder_mask'?",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": {"retromae": {"encoder_mask": 0.2}}}},
            "a map from a name is no longer how one objective is chosen: write {type: retromae, encoder_mask: 0.2}.",
        ),
        (
            {"stages__contrastive": {"objective": "retromae", "data": ["questions"]}},
            "'stages.contrastive': the objective retromae belongs to another kind of stage: add type: pretraining.",
        ),
        (
            {"stages__merge": {"from": ["contrastive", "finetune"], "method": "linear", "weights": [1, 1]}},
            "'stages.merge': method: linear is no longer how a stage says its kind: write type: linear.",
        ),
        ({"stages__merge__type": "zzz"}, "'stages.merge.type' is 'zzz'; known are: contrastive, linear"),
        (
            {"stages__contrastive": PRETRAINING | {"objective": "mntp"}, "base__attention": "causal"},
            "'stages.contrastive.objective' predicts a token from both sides of it, but base.attention is causal; set it to",
        ),
    ],
)
def test_a_wrong_recipe_is_one_sentence(write, changes, message):
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(**changes)))
    text = str(error.value)
    assert message in text
    assert "small.yaml" in text.split(": ")[0]
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluate__mteb_tasks": ["NFCorpu"]},
            "'evaluate.mteb_tasks' names the task 'NFCorpu', which does not exist; did you mean 'NFCorpus'?",
        ),
        (
            {"evaluate__benchmarks": ["MTEB(eng, v3)"]},
            "'evaluate.benchmarks' names the benchmark 'MTEB(eng, v3)', which does not exist; did you mean 'MTEB(eng, v2)'?",
        ),
    ],
)
def test_an_unknown_task_of_mteb_is_named(write, changes, message):
    with pytest.raises(AscentError, match=r"small\.yaml: ") as error:
        load_recipes(write(small=changed(**changes)))
    assert message in str(error.value)


def test_a_benchmark_stands_for_its_tasks(write):
    recipes = load_recipes(write(small=changed(evaluate__benchmarks=["MTEB(eng, v2)"], evaluate__mteb_tasks=["SciFact"])))
    tasks = recipes.tasks("small")
    assert tasks["LibraryRetrieval"].task is not None
    assert tasks["SciFact"].task is None
    assert len(tasks) == 3 + 1 + 41  # MTEB(eng, v2) has 41 tasks (arXiv 2502.13595, table 8), SciFact not among them


def test_a_missing_recipe_is_named(write):
    config = write(small=SMALL)
    config["recipes"] = ["smal"]
    with pytest.raises(AscentError, match=r"configuration: there is no recipe 'smal' \(.*smal\.yaml\); did you mean 'small'\?"):
        load_recipes(config)


def test_a_typo_in_the_configuration_names_its_file(write):
    config = write(small=SMALL)
    config["copora"] = config.pop("corpora")
    with pytest.raises(AscentError, match=r"^here\.yaml: unknown key 'copora'; did you mean 'corpora'\?$"):
        load_recipes(config, "here.yaml")


def filters(**changes) -> list:
    """The small recipe's filters with changed settings."""
    small = copy.deepcopy(SMALL["data"]["questions"]["filters"])
    return [{name: part | changes.get(name, {}) for name, part in f.items()} if isinstance(f, dict) else f for f in small]


def test_names_are_local_to_a_recipe(write):
    """Two recipes use one name for different data, and for stages of different kinds; what they have in common is done once."""
    other = changed(data__questions__filters=filters(score={"min": 0.5}), stages__finetune__mining=None)
    both = load_recipes(write(small=SMALL, other=other))
    small, other = (both.steps(recipe, "questions").keys for recipe in ("small", "other"))
    assert {step for step in small if small[step] == other[step]} == {"prepared", "scored"}
    assert both.steps_by_key.keys() == {*small.values(), *other.values()}
    assert ("small", "finetune") in both.stages("finetune") and ("other", "finetune") in both.stages("contrastive")
    same = load_recipes(write(small=SMALL, other=changed(stages__finetune__learning_rate=1.0)))
    assert same.steps("small", "questions") == same.steps("other", "questions")


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"data__questions__filters": filters(score={"min": 0.1})}, {"pairs"}),
        ({"data__questions__filters": [*SMALL["data"]["questions"]["filters"], "duplicate"]}, {"pairs"}),
        ({"data__questions__filters": filters(score={"teacher": {"model": "tiny", "max_tokens": 16}})}, {"scored", "pairs"}),
        ({"data__questions__filters": filters(contamination={"against": ["similar"]})}, {"prepared", "scored", "pairs"}),
        ({"base__max_tokens": 16}, set()),
    ],
)
def test_a_data_set_s_folders_are_keyed_by_what_they_depend_on(write, changes, again):
    before = load_recipes(write(small=SMALL)).steps("small", "questions").keys
    after = load_recipes(write(small=changed(**changes))).steps("small", "questions").keys
    assert {step for step in before if before[step] != after[step]} == again


def test_prompts_are_inherited_from_the_nearest_stage_that_sets_them(write):
    recipe = changed(base__prompts={"query": {"default": "base: "}}, stages__merge__from=["finetune", "last"])
    recipe["stages"]["last"] = {"from": ["finetune"], "objective": "infonce", "data": ["questions"]}
    recipe["stages"]["merge"].pop("prompts")
    recipes = load_recipes(write(small=recipe))
    prompts = {stage: recipes.contract("small", stage).prompt("query", "retrieval") for stage in recipe["stages"]}
    assert prompts == {"contrastive": "base: ", "finetune": "question: ", "merge": "question: ", "last": "question: "}
    # All else is the base's.
    assert recipes.contract("small", "merge") == Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}})


def test_each_step_has_its_settings_file(write, tmp_path):
    recipes = load_recipes(write(small=SMALL))
    files = settings_files(recipes)
    kinds = {
        **{f"results/corpora/{name}/corpus.yaml": Reading for name in ("library", "modules", "similar")},
        data(recipes, "prepared", "preparation.yaml"): Preparation,
        data(recipes, "scored", "scoring.yaml"): Scoring,
        data(recipes, "pairs", "filtering.yaml"): Filtering,
        "results/small/base/stage.yaml": Adoption,
        "results/small/finetune/mining.yaml": Mining,
        **{f"results/small/{name}/stage.yaml": StageSettings for name in ("contrastive", "finetune", "merge")},
        **{f"results/small/tasks/{name}.yaml": TaskSettings for name in SMALL["evaluate"]["tasks"]},
        "results/small/release.yaml": ReleaseSettings,
    }
    resources = {f"resources/corpora/{name}.yaml" for name in ("library", "modules", "similar")} | {"resources/models/tiny.yaml"}
    assert files.keys() >= kinds.keys() | resources
    for path, kind in kinds.items():
        (tmp_path / "settings.yaml").write_text(files[path])
        load(kind, tmp_path / "settings.yaml")
    (tmp_path / "settings.yaml").write_text(files["results/small/finetune/stage.yaml"])
    stage = load(StageSettings, tmp_path / "settings.yaml")
    assert stage.stage == recipes.recipes["small"].stages["finetune"]
    assert stage.contract == recipes.contract("small", "finetune")
    assert stage.tasks == {"questions": "retrieval"}


def edited(write, recipe: dict) -> set[str]:
    """The settings files that differ from those of the small recipe."""
    before, after = settings_files(load_recipes(write(small=SMALL))), settings_files(load_recipes(write(small=recipe)))
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def test_an_edit_changes_only_the_files_of_the_steps_that_it_concerns(write):
    release = "results/small/release.yaml"
    assert edited(write, SMALL) == set()
    assert edited(write, changed(stages__finetune__learning_rate=0.5)) == {"results/small/finetune/stage.yaml", release}
    assert edited(write, changed(stages__finetune__mining__per_query=3)) == {
        "results/small/finetune/stage.yaml",
        "results/small/finetune/mining.yaml",
        release,
    }
    lower = changed(data__questions__filters=filters(score={"min": 0.1}))
    assert {file.split("/")[1] for file in edited(write, lower) - {release}} == {"pairs"}
    assert edited(write, changed(base__max_tokens=16)) == {
        release,
        *(f"results/small/{stage}/stage.yaml" for stage in ("base", "contrastive", "finetune", "merge")),
        *(f"results/small/{stage}/tokens/questions.yaml" for stage in ("contrastive", "finetune")),
    }
    tasks = {name: task for name, task in SMALL["evaluate"]["tasks"].items() if name != "Similar"}
    assert edited(write, changed(evaluate__tasks=tasks)) == {"results/small/tasks/Similar.yaml", release}
    # A key that is given its default is no change; nor is the order of the keys.
    same = changed(stages__finetune__objective={"infonce": {"temperature": 0.05}})
    same["stages"]["finetune"] = dict(reversed(same["stages"]["finetune"].items()))
    assert edited(write, same) == set()


def test_a_teacher_has_a_settings_file_for_each_data_set_that_learns_from_it(write):
    def taught(**more):
        stage = {"objective": "margin_mse", "teacher": {"model": "tiny", "type": "cross-encoder"} | more}
        recipe = changed(data__others={"corpus": "library", "task": "sts"})
        recipe["stages"]["finetune"] |= stage | {"data": {"questions": {}, "others": {"objective": "cosent"}}}
        return recipe

    files = settings_files(load_recipes(write(small=taught())))
    assert [path for path in files if "/teacher/" in path] == ["results/small/finetune/teacher/questions.yaml"]
    shorter = settings_files(load_recipes(write(small=taught(max_tokens=16))))
    assert {path for path in files if files[path] != shorter[path]} == {
        "results/small/finetune/teacher/questions.yaml",
        "results/small/finetune/stage.yaml",
        "results/small/release.yaml",
    }


def test_stored_scores_have_no_settings_file_and_no_model(write):
    stored = {"objective": "margin_mse", "teacher": {"type": "stored"}}
    recipe = changed(data__questions={"corpus": "library"})
    recipe["stages"]["contrastive"] |= stored
    files = settings_files(load_recipes(write(small=recipe)))
    assert not [path for path in files if "/teacher/" in path]
    assert list(yaml.safe_load(files["results/small/release.yaml"])["models"]) == ["tiny"]


def test_a_comment_in_a_recipe_changes_no_settings_file(write, tmp_path):
    config = write(small=SMALL)
    before = settings_files(load_recipes(config))
    shutil.copy(SUPPORT / "small.yaml", tmp_path / "small.yaml")
    with (tmp_path / "small.yaml").open("a") as handle:
        handle.write("# A word more.\n")
    assert settings_files(load_recipes(config)) == before


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
