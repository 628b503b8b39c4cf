"""The settings file of each step, and what an edit of a recipe changes."""

import shutil

import yaml

from ascent.recipes.loading import load_recipes
from ascent.recipes.step_settings import settings_files
from ascent.settings.corpora import Reading
from ascent.settings.evaluation import TaskSettings
from ascent.settings.leaks import LeakCheck
from ascent.settings.measures import Scoring
from ascent.settings.model import Adoption
from ascent.settings.negatives import Mining
from ascent.settings.pairs import Filtering
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.stages import StageSettings
from ascent.settings.validation import load
from support.recipes import SMALL, SUPPORT, changed, data, filters


def test_each_step_has_its_settings_file(write, tmp_path):
    recipes = load_recipes(write(small=SMALL))
    files = settings_files(recipes)
    kinds = {
        **{f"results/corpora/{name}/corpus.yaml": Reading for name in ("library", "modules", "similar")},
        data(recipes, "prepared 1", "filtering.yaml"): Filtering,
        data(recipes, "prepared 2", "filtering.yaml"): Filtering,
        data(recipes, "pairs", "filtering.yaml"): Filtering,
        data(recipes, "scored", "scoring.yaml"): Scoring,
        "results/small/base/stage.yaml": Adoption,
        "results/small/finetune/mining.yaml": Mining,
        **{f"results/small/{name}/stage.yaml": StageSettings for name in ("contrastive", "finetune", "merge")},
        **{f"results/small/tasks/{name}.yaml": TaskSettings for name in SMALL["evaluate"]["tasks"]},
        "results/small/leakage.yaml": LeakCheck,
        "results/small/release.yaml": ReleaseSettings,
    }
    resources = {f"resources/corpora/{name}.yaml" for name in ("library", "modules", "similar")} | {
        "resources/models/tiny.yaml"
    }
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
    assert {file.split("/")[1] for file in edited(write, lower) - {release, "results/small/leakage.yaml"}} == {"pairs"}
    assert edited(write, changed(base__max_tokens=16)) == {
        release,
        *(f"results/small/{stage}/stage.yaml" for stage in ("base", "contrastive", "finetune", "merge")),
        *(f"results/small/{stage}/tokens/questions.yaml" for stage in ("contrastive", "finetune")),
        "results/small/contrastive/shards/questions.yaml",
    }
    tasks = {name: task for name, task in SMALL["evaluate"]["tasks"].items() if name != "Similar"}
    checked = "results/small/leakage.yaml"
    assert edited(write, changed(evaluate__tasks=tasks)) == {"results/small/tasks/Similar.yaml", checked, release}
    # A key that is given its default is not a change; nor is the order of the keys.
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
