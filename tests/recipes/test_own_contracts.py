"""`contract: own` in a recipe: the catalogue's contract, what the recipe sets over it, and a trial of it."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from ascent.recipes.step_settings import settings_files
from ascent.settings.measures import Scoring
from ascent.settings.model import Adoption, Contract
from ascent.settings.validation import load
from support.recipes import changed, data, filters

OWN = {"pooling": "cls", "max_tokens": 48, "append_eos": True, "prompts": {"query": {"retrieval": "ask: "}}}


@pytest.fixture
def written(write):
    """A configuration whose model has a contract, and recipes that use it."""

    def _written(contract=OWN, **recipes) -> dict:
        config = write(**recipes)
        config["models"]["tiny"] |= {"contract": contract} if contract else {}
        return config

    return _written


def test_the_catalogue_s_contract_is_the_base_s_unless_the_recipe_says_otherwise(written, tmp_path):
    recipe = changed(base={"model": "tiny", "contract": "own", "max_tokens": {"query": 8, "document": 16}})
    recipes = load_recipes(written(small=recipe))
    assert recipes.contract("small", "base") == Contract(**OWN | {"max_tokens": {"query": 8, "document": 16}})
    (tmp_path / "stage.yaml").write_text(settings_files(recipes)["results/small/base/stage.yaml"])
    adoption = load(Adoption, tmp_path / "stage.yaml")
    assert adoption.contract == Contract(**OWN)
    assert adoption.max_tokens.query == 8
    assert adoption.pooling == "cls"


def test_a_teacher_has_its_own_contract_too(written, tmp_path):
    teacher = {"model": "tiny", "contract": "own", "prompts": {}}
    recipes = load_recipes(written(small=changed(data__questions__filters=filters(score={"teacher": teacher}))))
    (tmp_path / "scoring.yaml").write_text(settings_files(recipes)[data(recipes, "scored", "scoring.yaml")])
    found = load(Scoring, tmp_path / "scoring.yaml").teacher
    assert (found.pooling, found.max_tokens.longest, found.prompts) == ("cls", 48, {})
    assert found.contract == Contract(**OWN)


def test_a_trial_keeps_what_the_model_is_and_another_model_s_contract_is_none(written):
    small = changed(base={"model": "tiny", "contract": "own"})
    base = load_recipes(written(small=small) | {"trial": {"max_tokens": 16}}).recipes["small-trial"].base
    assert (base.max_tokens.longest, base.contract) == (16, Contract(**OWN))
    config = written(small=small) | {"trial": {"model": "other"}}
    config["models"]["other"] = {name: value for name, value in config["models"]["tiny"].items() if name != "contract"}
    base = load_recipes(config).recipes["small-trial"].base
    assert (base.model, base.contract) == ("other", None)


@pytest.mark.parametrize(
    ("base", "contract", "message"),
    [
        (
            {"model": "tiny", "contract": "own"},
            None,
            r"'tiny' is used by its own contract, which the catalogue lacks; .*print_con",
        ),
        ({"model": "tny", "contract": "own"}, OWN, r"'base.model' names the model 'tny', which does not exist"),
        (
            {"model": "tiny", "contract": "theirs"},
            OWN,
            r"'base.contract': 'theirs' is not a contract that a recipe can name: write",
        ),
        (
            {"model": "tiny"},
            OWN | {"poolin": 1},
            r"configuration: unknown key 'models.tiny.contract.poolin'; did you mean 'pooling'",
        ),
    ],
)
def test_what_is_wrong_is_named(written, base, contract, message):
    with pytest.raises(AscentError, match=message):
        load_recipes(written(contract, small=changed(base=base)))
