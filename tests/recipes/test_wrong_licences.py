"""A release that its data, base or teachers do not allow is refused."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from support.recipes import changed


@pytest.mark.parametrize(
    ("name", "licence", "words"),
    [
        ("library", "cc-by-nc-4.0", "library (cc-by-nc-4.0) forbids commercial use"),
        ("tiny", "gpl-3.0", "tiny (gpl-3.0) asks for the same licence"),
        ("judge", "research-only", "judge (research-only) is for research only"),
        ("similar", "cc-by-nc-4.0", None),  # is only evaluated with
    ],
)
def test_a_release_that_is_wider_than_its_data_base_or_teachers_needs_a_reason(write, name, licence, words):
    recipe = changed(stages__finetune__objective="margin_mse")
    recipe["stages"]["finetune"]["teacher"] = {"model": "judge", "type": "cross-encoder"}
    config = write(small=recipe)
    config["models"]["judge"] = config["models"]["tiny"]
    kind = "models" if name in config["models"] else "corpora"
    config[kind] = config[kind] | {name: config[kind][name] | {"licence": licence}}
    if words is None:
        load_recipes(config)
        return
    with pytest.raises(AscentError) as error:
        load_recipes(config)
    message = f"small.yaml: 'release.licence' is apache-2.0, but {words}; choose a licence that allows no more, or"
    assert message in str(error.value)
    recipe["release"]["licence_reason"] = "they agreed"
    write(small=recipe)
    load_recipes(config)
    # A stage that is not released may learn from anything.
    if name == "judge":
        del recipe["release"]["licence_reason"]
        recipe["release"]["stage"] = "contrastive"
        write(small=recipe)
        load_recipes(config)
