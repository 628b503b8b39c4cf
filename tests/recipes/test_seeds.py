"""A stage of several seeds stands for one stage of each, wherever a recipe names it."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from ascent.recipes.step_settings import settings_files
from support.recipes import SMALL, changed

SEEDED = {
    "stages__finetune__seeds": [0, 1, 7],
    "stages__merge": {"type": "slerp", "from": ["finetune", "contrastive"]}
    | {"prompts": SMALL["stages"]["merge"]["prompts"]},
    "evaluate__stages": ["base", "finetune", "merge"],
}
MEMBERS = ["finetune-seed0", "finetune-seed1", "finetune-seed7"]


def test_it_becomes_a_stage_for_each_seed(write):
    recipes = load_recipes(write(small=changed(**SEEDED)))
    recipe = recipes.recipes["small"]
    assert list(recipe.stages) == ["contrastive", *MEMBERS, "merge"]
    assert [recipe.stages[name].seed for name in MEMBERS] == [0, 1, 7]
    plain = load_recipes(write(small=SMALL)).recipes["small"].stages["finetune"]
    for name in MEMBERS:
        assert recipe.stages[name].model_copy(update={"seed": 0, "seeds": []}) == plain
    assert recipe.stages["merge"].parents == [*MEMBERS, "contrastive"]
    assert recipe.evaluate.stages == ["base", *MEMBERS, "merge"]
    assert recipes.parents_compared("small") == {"merge": MEMBERS}  # contrastive is not evaluated


def test_what_does_not_depend_on_the_seed_is_made_once(write):
    """Settings of tokens, mining and teacher, and the audit, are those of the recipe without seeds, under the same
    paths."""
    taught = {"stages__finetune__teacher": {"type": "bi-encoder", "model": "tiny"}}
    taught["stages__finetune__objective"] = "embedding_mse"
    taught["stages__finetune__data"] = {"questions": {"mine": True}}
    one, three = (load_recipes(write(small=changed(**taught, **more))) for more in ({}, SEEDED))
    before, after = settings_files(one), settings_files(three)
    shared = [f"results/small/finetune/{name}.yaml" for name in ("mining", "tokens/questions", "teacher/questions")]
    assert all(before[path] == after[path] for path in shared)
    own = {path for path in after if any(path.startswith(f"results/small/{name}/") for name in MEMBERS)}
    assert own == {f"results/small/{name}/stage.yaml" for name in MEMBERS}
    assert one.audits("small") == three.audits("small")
    assert three.stages_by_path("small")["finetune"].mines_for("questions")


def test_a_seed_more_changes_no_other_seed_s_settings(write):
    def with_these(*seeds: int):
        return load_recipes(write(small=changed(**SEEDED | {"stages__finetune__seeds": list(seeds)})))

    few, more = with_these(0, 1), with_these(1, 0, 2)
    before, after = settings_files(few), settings_files(more)
    for name in ("finetune-seed0", "finetune-seed1"):
        assert before[f"results/small/{name}/stage.yaml"] == after[f"results/small/{name}/stage.yaml"]


def test_a_trial_has_them_too(write):
    recipes = load_recipes(write(small=changed(**SEEDED)) | {"trial": {"steps": 2}})
    recipe = recipes.recipes["small-trial"]
    assert list(recipe.stages) == ["contrastive", *MEMBERS, "merge"]
    assert [recipe.stages[name].seed for name in MEMBERS] == [0, 1, 7]
    assert {recipe.stages[name].data_name(name) for name in MEMBERS} == {"finetune"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"release__stage": "finetune"},
            "'release.stage' needs one model, but stage 'finetune' is one for each of its seeds; name finetune-seed0, "
            "finetune-seed1 or finetune-seed7.",
        ),
        (
            {"stages__last": {"from": ["finetune"], "objective": "infonce", "data": ["questions"]}},
            "'stages.last.from' needs one model, but stage 'finetune' is one for each of its seeds; name ",
        ),
        (
            {"stages__last": {"objective": "infonce", "data": ["questions"], "mining": {"model": "finetune"}}},
            "'stages.last.mining.model' needs one model, but stage 'finetune' is one for each of its seeds; name ",
        ),
        (
            {"stages__finetune-seed1": {"objective": "infonce", "data": ["questions"]}},
            "'stages.finetune-seed1' is the name of stage 'finetune' with one of its seeds; rename it.",
        ),
        ({"stages__finetune__seed": 3}, "'stages.finetune': seeds is in place of seed: remove one of them."),
        ({"stages__finetune__seeds": [2, 2]}, "'stages.finetune': seeds names 2 more than once: name each once."),
        (
            {"stages__merge__weights": [1, 1]},
            "'stages.merge.weights' has 2 numbers for 4 parents; give one per parent.",
        ),
        (
            {"stages__merge": {"type": "bfloat16", "from": ["finetune"]}},
            "'stages.merge.from' has 3 parents, but one model is rounded; merge them first.",
        ),
    ],
)
def test_where_one_model_is_needed_one_is_named(write, changes, message):
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(**SEEDED | changes)))
    assert message in str(error.value)
