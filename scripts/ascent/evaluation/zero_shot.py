"""Which of mteb's tasks a released model is zero-shot on, by mteb's own rule.

mteb counts the tasks whose data set a model was trained on, of any split; those of the model that it is adapted from;
and tasks that mteb calls similar to one of these. What a distilled model's teachers learnt from counts as its own
(mteb#1760)."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from ..settings.corpora import Corpus, Model
from ..settings.mteb_tasks import mteb_tasks
from ..settings.recipe import Recipe


@dataclass(frozen=True)
class ZeroShot:
    """What a released model learnt from, and what of the recipe's evaluation it is zero-shot on."""

    named: list[str]
    """Tasks whose data the released model and its teachers learnt from: the `training_datasets` of mteb's ModelMeta."""
    learnt: set[str]
    """All tasks that mteb takes for known: with those of the base, and similar ones."""
    shares: dict[str, tuple[int, list[str]]]
    """By benchmark: the percentage that it is zero-shot on, and the others of its tasks. Tasks that the recipe
    evaluates in addition to benchmarks stand under `tasks`."""
    unknown: list[str]
    """The base and the teachers, where mteb does not know what they learnt from."""

    def sentences(self) -> list[str]:
        """Return what a plan and a card say."""
        told = []
        for name, (percentage, tasks) in self.shares.items():
            what = name if name != "tasks" else "the tasks that are evaluated in addition to benchmarks"
            others = f"not on {', '.join(tasks)}" if tasks else "on every task"
            told.append(f"Zero-shot on {percentage} % of {what}, by mteb's rule: {others}.")
        if told and self.unknown:
            told.append(
                f"mteb does not know what {' and '.join(self.unknown)} learnt from, so the percentage may be too high."
            )
        return told


def zero_shot(recipe: Recipe, corpora: Mapping[str, Corpus], models: Mapping[str, Model]) -> ZeroShot:
    """Return what a recipe's released model is zero-shot on. `corpora`, `models`: those that it is made of, by name.

    Imports mteb, which takes seconds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one per beta task
        import mteb
        from mteb.models.model_meta import ModelMeta

    logging.getLogger("mteb").setLevel(logging.ERROR)
    unknown = []

    def known(model: str) -> set[str]:
        name = models[model].upstream
        try:
            datasets = mteb.get_model_meta(name, fetch_from_hf=False).get_training_datasets() if name else None
        except (KeyError, ValueError):
            datasets = None
        if datasets is None and (called := name or model) not in unknown:
            unknown.append(called)
        return datasets or set()

    named = {task for name in recipe.made_of[0] for task in corpora[name].mteb_tasks}
    teachers = [stage.teacher_model for stage in recipe.lineage.values() if stage.trains and stage.teacher_model]
    named |= {task for teacher in teachers for task in known(teacher)}
    base = models[recipe.base.model].upstream or None
    known(recipe.base.model)
    meta = ModelMeta.create_empty({"name": recipe.release.name, "training_datasets": named, "adapted_from": base})
    learnt = meta.get_training_datasets()
    groups = {name: list(mteb_tasks()["benchmarks"][name]) for name in recipe.evaluate.benchmarks}
    groups |= {"tasks": recipe.evaluate.mteb_tasks} if recipe.evaluate.mteb_tasks else {}
    shares = {name: (meta.zero_shot_percentage(tasks), sorted(learnt & set(tasks))) for name, tasks in groups.items()}
    return ZeroShot(named=sorted(named), learnt=learnt, shares=shares, unknown=unknown)
