"""Stages that are trained with several seeds: one stage for each."""

from pathlib import Path

from ..errors import AscentError
from ..settings.recipe import Recipe
from ..settings.training import listed


def with_seeds(recipe: Recipe, path: Path) -> Recipe:
    """Return a recipe in which a stage of several seeds is a stage for each: `finetune` with seeds [0, 1] is replaced
    by `finetune-seed0` and `finetune-seed1`. Where parents of a merge or evaluated stages name `finetune`, all are
    meant.

    path: the recipe's file. Raises AscentError if another stage has such a name, or if `finetune` is named where one
    model is needed.
    """
    groups: dict[str, list[str]] = {}
    stages = {}
    for name, stage in recipe.stages.items():
        members = stage.members(name)
        if stage.trains and stage.seeds:
            groups[name] = list(members)
        if taken := [member for member in members if member != name and member in recipe.stages]:
            raise AscentError(
                f"{path}: 'stages.{taken[0]}' is the name of stage '{name}' with one of its seeds; rename it."
            )
        stages |= members

    def every(names: list[str]) -> list[str]:
        return list(dict.fromkeys(member for name in names for member in groups.get(name, [name])))

    for name, stage in stages.items():
        for key, what, referred in stage.references():
            if what == "stage" and referred in groups and (key != "from" or stage.trains):
                _name_one(path, f"stages.{name}.{key}", referred, groups)
        if not stage.trains and not groups.keys().isdisjoint(stage.parents):
            stages[name] = stage.model_copy(update={"parents": every(stage.parents)})
    if recipe.release.stage in groups:
        _name_one(path, "release.stage", recipe.release.stage, groups)
    evaluate = recipe.evaluate.model_copy(update={"stages": every(recipe.evaluate.stages)})
    return recipe.model_copy(update={"stages": stages, "evaluate": evaluate})


def _name_one(path: Path, key: str, name: str, groups: dict[str, list[str]]) -> None:
    members = listed(groups[name], "or")
    raise AscentError(
        f"{path}: '{key}' needs one model, but stage '{name}' is one for each of its seeds; name {members}."
    )
