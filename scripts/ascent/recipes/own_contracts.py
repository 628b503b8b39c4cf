"""Recipes read from their files, with the contracts of models that are used by their own."""

from pathlib import Path
from typing import Any

from ..errors import AscentError
from ..files import read_yaml
from ..settings.corpora import Model
from ..settings.recipe import Recipe
from ..settings.validation import check


def read_recipe(path: Path, models: dict[str, Model]) -> Recipe:
    """Read a recipe's file. Where it says `contract: own`, the keys of the model's contract in the catalogue are filled
    in, and those beside it override them.

    Raises AscentError for a model whose contract the catalogue lacks, and as `check`.
    """
    return check(Recipe, with_own_contracts(read_yaml(path), models, path), path)


def with_own_contracts(values: Any, models: dict[str, Model], path: str | Path) -> Any:
    """Return a recipe's values with the contract of each model that says `contract: own` filled in."""
    if isinstance(values, list):
        return [with_own_contracts(value, models, path) for value in values]
    if not isinstance(values, dict):
        return values
    values = {key: with_own_contracts(value, models, path) for key, value in values.items()}
    name = values.get("model")
    if values.get("contract") != "own" or name not in models:  # an unknown model is refused by its name
        return {key: value for key, value in values.items() if (key, value) != ("contract", "own")}
    if models[name].contract is None:
        raise AscentError(
            f"{path}: '{name}' is used by its own contract, which the catalogue lacks; retrieve the model, and add to "
            f"models.{name} what `python scripts/print_contract.py resources/models/{name}` prints."
        )
    own = models[name].contract.model_dump(mode="json", exclude_unset=True)
    return own | values | {"contract": own}
