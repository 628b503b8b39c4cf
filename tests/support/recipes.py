"""The small recipe as values, and variants of it."""

import copy
from pathlib import Path

import yaml

SUPPORT = Path(__file__).parents[1] / "support"
SMALL = yaml.safe_load((SUPPORT / "small.yaml").read_text())
SOURCE = {"type": "files", "paths": ["a.jsonl"]}
CORPUS = {"source": SOURCE, "reader": {"pairs": {}}, "licence": "mit", "language": "eng-Latn"}
PRETRAINING = {"type": "pretraining", "data": ["questions"]}


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


def keys(recipes, recipe: str = "small", name: str = "questions") -> dict[str, str]:
    """The keys of a data set's steps: of the passes `prepared 1`, ... and `pairs`, and of what is `scored`,
    `signed`."""
    steps = recipes.steps(recipe, name)
    found = {f"prepared {number}": step.key for number, step in enumerate(steps.passes[:-1], 1)}
    return found | {"pairs": steps.key} | {measure.settings.folder: measure.key for measure in steps.measures}


def data(recipes, step: str, file: str, name: str = "questions") -> str:
    """A file of a step of a data set of the small recipe."""
    return f"results/{step.split()[0]}/{keys(recipes, name=name)[step]}/{file}"


def filters(**changes) -> list:
    """The small recipe's filters with changed settings."""
    small = copy.deepcopy(SMALL["data"]["questions"]["filters"])
    return [
        {name: part | changes.get(name, {}) for name, part in f.items()} if isinstance(f, dict) else f for f in small
    ]
