"""The percentage is that of mteb's leaderboard."""

import mteb
import pytest

from ascent.evaluation.zero_shot import zero_shot
from ascent.settings.corpora import Corpus, Model
from ascent.settings.recipe import Recipe
from ascent.settings.validation import check
from support.toy_release import SETTINGS


def made(upstream="", tasks=(), teacher=None, **evaluate):
    corpora = {"letters": check(Corpus, SETTINGS["corpora"]["letters"] | {"mteb_tasks": list(tasks)}, "corpora.yaml")}
    models = {
        name: check(Model, SETTINGS["models"]["tiny"] | {"upstream": upstream}, "models.yaml")
        for name, upstream in {"tiny": upstream, "teacher": "BAAI/bge-small-en-v1.5", "nobody": ""}.items()
    }
    recipe = SETTINGS["recipe"] | {"evaluate": SETTINGS["recipe"]["evaluate"] | evaluate}
    if teacher:
        stages = {name: dict(stage) for name, stage in recipe["stages"].items()}
        stages["contrastive"] |= {"teacher": {"type": "bi-encoder", "model": teacher}, "objective": {"margin_mse": {}}}
        recipe |= {"stages": stages}
    return zero_shot(check(Recipe, recipe, "recipe.yaml"), corpora, models)


@pytest.mark.slow
def test_a_registered_model_has_the_leaderboard_s_percentage():
    """Trained on nothing more, it is as zero-shot as the model that it is adapted from."""
    names = [task.metadata.name for task in mteb.get_benchmark("MTEB(eng, v2)").tasks]
    for name in ("BAAI/bge-small-en-v1.5", "Qwen/Qwen3-Embedding-0.6B", "intfloat/e5-mistral-7b-instruct"):
        found = made(name, benchmarks=["MTEB(eng, v2)"])
        percentage, others = found.shares["MTEB(eng, v2)"]
        assert percentage == mteb.get_model_meta(name, fetch_from_hf=False).zero_shot_percentage(names)
        assert percentage == int(100 - 100 * len(others) / 41)
        assert (found.named, found.unknown) == ([], [])


def test_similar_tasks_and_those_of_corpora_count():
    """mteb takes FEVER for learnt where a model learnt from FEVERHardNegatives, and the other way round."""
    found = made("nobody/nothing", tasks=["FEVER"], benchmarks=["MTEB(eng, v2)"], mteb_tasks=["FEVER", "SciFact"])
    assert found.named == ["FEVER"]
    percentage, others = found.shares["MTEB(eng, v2)"]
    assert "FEVERHardNegatives" in others and percentage == int(100 - 100 * len(others) / 41)
    assert found.shares["tasks"] == (50, ["FEVER"])
    assert found.unknown == ["nobody/nothing"]
    assert found.sentences()[1:] == [
        "Zero-shot on 50 % of the tasks that are evaluated in addition to benchmarks, by mteb's rule: not on FEVER.",
        "mteb does not know what nobody/nothing learnt from, so the percentage may be too high.",
    ]


def test_a_distilled_model_learnt_from_its_teacher_s_data():
    learnt = mteb.get_model_meta("BAAI/bge-small-en-v1.5", fetch_from_hf=False).get_training_datasets()
    assert set(made(teacher="teacher").named) == learnt != set()
    assert made(teacher="nobody", tasks=["NQ"]).unknown == ["nobody", "tiny"]


@pytest.mark.parametrize("tasks", [(), ("NQ",)])
def test_local_tasks_have_no_percentage(tasks):
    assert made(tasks=tasks).sentences() == []
