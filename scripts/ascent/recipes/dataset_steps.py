"""The steps of a data set, and the folders of their results.

A data set's filters run in passes over its rows (settings/pairs.py). What a pass makes lies in `prepared`, and what the
last one makes, which is what stages train on, in `pairs`. A folder is called by the data set's name and a digest of the
settings that its content depends on, so that data sets of two recipes may have one name, equal ones share their work,
and another threshold scores no pair again."""

from dataclasses import dataclass

from ..files import digest_of
from ..settings.base import Settings
from ..settings.pairs import CorpusRows, Dataset, Filtering, Scoring


@dataclass(frozen=True, kw_only=True)
class Step:
    """One pass over a data set's rows."""

    settings: Filtering
    folder: str
    """`prepared` or `pairs`."""
    key: str
    before: str | None
    """The key of the pass before; None in the first, which reads the corpus."""
    scored: str | None
    """The key of the scores that its filters need."""


@dataclass(frozen=True, kw_only=True)
class DatasetSteps:
    """A data set's passes, and how its pairs are scored."""

    name: str
    dataset: Dataset
    passes: list[Step]
    scoring: Scoring | None

    @property
    def key(self) -> str:
        """The name of the folder of its training pairs."""
        return self.passes[-1].key

    @property
    def behind_scores(self) -> list[Step]:
        """The passes that wait for scores."""
        first = next((number for number, step in enumerate(self.passes) if step.scored), len(self.passes))
        return self.passes[first:]

    @property
    def scored(self) -> Step | None:
        """The pass that reads scores."""
        return next((step for step in self.passes if step.scored), None)


def dataset_steps(name: str, dataset: Dataset) -> DatasetSteps:
    """Return the steps of a data set."""
    scoring = Scoring(teacher=dataset.teacher, task=dataset.task) if dataset.teacher else None
    above, steps = [], []

    def key_of(kind: str, settings: Settings) -> str:
        above.append([kind, settings.model_dump(mode="json", by_alias=True)])
        return f"{name}-{digest_of(above)[:8]}"

    for number, filters in enumerate(dataset.passes, 1):
        needs_scores = any(each.settings.needs == "scores" for each in filters)
        scored = key_of("scored", scoring) if needs_scores else None
        select = None if steps else part(CorpusRows, dataset)
        last = number == len(dataset.passes)
        settings = Filtering(
            select=select, positive=dataset.positive, filters=filters, augment=dataset.augment if last else []
        )
        folder = "pairs" if last else "prepared"
        before = steps[-1].key if steps else None
        key = key_of(folder, settings)
        steps.append(Step(settings=settings, folder=folder, key=key, before=before, scored=scored))
    return DatasetSteps(name=name, dataset=dataset, passes=steps, scoring=scoring)


def part(kind: type[Settings], whole: Settings) -> Settings:
    """Return the part of some settings that a step uses."""
    return kind(**whole.model_dump(include=set(kind.model_fields)))
