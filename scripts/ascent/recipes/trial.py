"""Recipes shrunk for a trial. Everything else sees a recipe like any other."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..errors import AscentError, did_you_mean
from ..settings.base import components
from ..settings.evaluation import LocalTask
from ..settings.filters import BY_ORIGIN, OneFilter
from ..settings.recipe import Config, Recipe
from ..settings.trial import Trial
from ..settings.validation import check

# Characters that no text exceeds.
MOST = 10**9
# What a trial's recipe is called.
SUFFIX = "-trial"
# Keys whose values are maps from a user's names.
NAMED = ("data", "stages", "tasks")
# Training that needs no GPU, no compiler and no second process.
PLAIN = {
    "precision": "auto",
    "weights": "float32",
    "zero": 0,
    "offload_optimizer": "none",
    "offload_weights": "none",
    "compile": False,
}


def with_little_synthesis(config: Config, where: Callable[[list[str]], str | Path]) -> Config:
    """Return a trial's configuration with a small copy of each corpus that a language model writes, which the trial
    takes in its place: each row is a request or more. where: the file of some keys."""
    trial, corpora = config.trial, config.corpora
    small = {name: name + SUFFIX for name, source in config.synthesised.items() if source.rows > trial.rows}
    if taken := sorted({*small.values()} & {*corpora}):
        raise AscentError(
            f"{where(['corpora', taken[0]])}: 'corpora.{taken[0]}' has the name of the copy that a trial makes of"
            f" {taken[0].removesuffix(SUFFIX)}; rename it."
        )
    copies = {}
    for name, copy in small.items():
        source = corpora[name].source
        changes = {"rows": trial.rows, "documents": small.get(source.documents, source.documents)}
        copies[copy] = corpora[name].model_copy(update={"source": source.model_copy(update=changes)})
    tasks = {}
    for name, task in trial.tasks.items():
        searched = [small.get(other, other) for other in task.pools]
        changes = {"corpus": small.get(task.corpus, task.corpus)} | ({"documents": searched} if searched else {})
        tasks[name] = task.model_copy(update=changes)
    changed = {
        "corpus": {kind: small.get(name, name) for kind, name in trial.corpus.items()},
        "corpora": small | {old: small.get(name, name) for old, name in trial.corpora.items()},
        "tasks": tasks,
    }
    return config.model_copy(update={"corpora": corpora | copies, "trial": trial.model_copy(update=changed)})


def shrink(recipe: Recipe, trial: Trial, corpora: Collection[str], path: Path) -> Recipe:
    """Return a recipe made small. corpora: the names of all corpora, the others that a filter names are mteb's.

    Raises AscentError when nothing that is evaluated is left.
    """
    values = _changed(recipe.model_dump(mode="json", by_alias=True), _changes(recipe, trial, corpora))
    held = {part["data"] for stage in values["stages"].values() if (part := stage.get("development"))}
    for name, dataset in values["data"].items():
        dataset["rows"] = min(trial.rows, dataset["rows"] or trial.rows)
        dataset["corpus"] = trial.corpus.get(dataset["task"], dataset["corpus"])
        if trial.corpus and name in held:  # which may be of the corpus that now is trained on
            dataset["split"] = "validation"
        # Rows of another split than train are themselves among what a trial's corpora are compared with.
        kept = not trial.corpus or dataset["split"] == "train"
        dataset["filters"] = [
            each for each in dataset["filters"] if each.get("contamination", {"against": 1})["against"]
        ]
        dataset["filters"] = [each for each in dataset["filters"] if kept or "contamination" not in each]
        dataset["filters"] = [
            each for each in dataset["filters"] if not (trial.corpus and OneFilter(**each).settings.fits_texts)
        ]
        if trial.corpus and dataset["repeat"] and dataset["repeat"]["by"] in BY_ORIGIN:
            dataset["repeat"] = None
    for stage in values["stages"].values():
        if "max_steps" in stage:
            stage["max_steps"] = min(trial.steps, stage["max_steps"] or trial.steps)
            stage |= PLAIN
        if trial.model and (sizes := stage.get("matryoshka")):
            largest = max(*map(int, sizes), trial.dimensions)
            stage["matryoshka"] = {
                max(1, int(size) * trial.dimensions // largest): weight for size, weight in sizes.items()
            }
    evaluate = values["evaluate"]
    evaluate |= {"mteb_tasks": [], "benchmarks": []}
    if trial.tasks:
        evaluate["tasks"] = {name: task.model_dump(mode="json") for name, task in trial.tasks.items()}
    elif trial.corpus:
        kinds = [kind for kind in trial.corpus if kind in components(LocalTask)]
        evaluate["tasks"] = {
            kind.capitalize(): {"type": kind, "corpus": trial.corpus[kind], "queries": None} for kind in kinds
        }
    if not evaluate["tasks"]:
        raise AscentError(
            f"{path}: a trial leaves out tasks of mteb and the recipe has no others; give `corpus` or `tasks`."
        )
    for task in evaluate["tasks"].values():
        task["queries"] = min(trial.queries, task["queries"] or trial.queries)
    if trial.model:
        values["base"] |= {"model": trial.model, "contract": None} | (
            {"attention": trial.attention} if trial.attention else {}
        )
    values["shards"] = 1
    values["release"]["name"] += SUFFIX
    values["release"]["licence"] = "internal"  # its corpora and models may be others, and nobody is given it
    return check(Recipe, values, path)


def check_trial(trial: Trial, config: Config, where: Callable[[list[str]], str | Path]) -> None:
    """Reject a corpus or model of a trial that the catalogue lacks. where: the file or option of some keys."""
    named = [("corpus", key, name) for key, name in trial.corpus.items()]
    named += [("corpora", key, name) for key, name in trial.corpora.items()]
    named += [("tasks", key, task.corpus) for key, task in trial.tasks.items()]
    words = [(["trial", kind, key], "corpus", name) for kind, key, name in named]
    words += [(["trial", key], "model", getattr(trial, key)) for key in ("model", "cross_encoder")]
    for keys, what, name in words:
        known = config.corpora if what == "corpus" else config.models
        if name is not None and name not in known:
            raise AscentError(
                f"{where(keys)}: '{'.'.join(keys)}' names the {what} '{name}', which does not exist;"
                f" {did_you_mean(name, list(known))}"
            )


def _changes(recipe: Recipe, trial: Trial, corpora: Collection[str]) -> dict[str, Callable[[Any], Any]]:
    """Return what becomes of the values of keys that mean the same wherever they stand in a recipe."""
    attention = trial.attention or recipe.base.attention
    changes = {
        "corpus": lambda name: trial.corpora.get(name, name),
        "max_tokens": lambda most: _at_most(most, trial.max_tokens),
        "batch_size": lambda number: min(number, trial.batch_size),
        "against": lambda names: (
            list(trial.corpus.values()) or [trial.corpora.get(name, name) for name in names if name in corpora]
        ),
        "documents": lambda given: (
            list(dict.fromkeys(trial.corpora.get(name, name) for name in given if not trial.corpus))
            if isinstance(given, list)
            else given
        ),
        "every_steps": lambda number: min(number, trial.steps),
        "encoder": lambda teacher: teacher and _teacher(teacher, trial, attention),
        "teacher": lambda teacher: teacher and _teacher(teacher, trial, attention),
        "adapter": lambda adapter: adapter and adapter | ({"type": "lora"} if adapter["type"] == "qlora" else {}),
    }
    if trial.corpus:
        changes["ranks"] = lambda ranks: [0, ranks[1] - ranks[0]]
        changes["length"] = lambda _: {"query": [1, MOST], "positive": [1, MOST]}
    if trial.model:
        changes |= {
            "dimension": lambda number: number and min(number, trial.dimensions),
            "targets": lambda _: "all-linear",
            "max_share_of_positive": lambda _: 2,
            "score": lambda score: score | {"min": -1e9},
            "rank": lambda rank: rank | {"top": MOST} if isinstance(rank, dict) else rank,  # else an adapter's
            "tokens": lambda tokens: tokens | {"model": trial.model},
        }
    return changes


def _at_most(number: Any, limit: int) -> Any:
    """Return a number, or those of each side, no larger than a limit."""
    return {side: min(own, limit) for side, own in number.items()} if isinstance(number, dict) else min(number, limit)


def _teacher(teacher: dict, trial: Trial, attention: str) -> dict:
    if "model" not in teacher:  # stored scores
        return teacher
    if teacher.get("type") == "cross-encoder":
        return teacher | ({"model": trial.cross_encoder} if trial.cross_encoder else {})
    own = {"contract": None} if "contract" in teacher else {}
    return teacher | ({"model": trial.model, "attention": attention, **own} if trial.model else {})


def _changed(values: Any, changes: dict[str, Callable[[Any], Any]], named: bool = False) -> Any:
    """Return values with the changes made at every depth. named: the keys are names that a user chose."""
    if isinstance(values, list):
        return [_changed(value, changes) for value in values]
    if not isinstance(values, dict):
        return values
    below = {
        # A model's own contract says what its folder is.
        key: value if key == "contract" and not named else _changed(value, changes, key in NAMED)
        for key, value in values.items()
    }
    return below if named else {key: changes[key](value) if key in changes else value for key, value in below.items()}
