"""The steps of a data set, and the folders of their results.

A data set's filters run in passes over its rows (settings/pairs.py). What a pass makes lies in `prepared`, and what the
last one makes, which is what stages train on, in `pairs`. A folder is called by the data set's name and a digest of the
settings that its content depends on, so that data sets of two recipes may have one name, equal ones share their work,
and another threshold scores no pair again."""

from dataclasses import dataclass

from ..files import digest_of
from ..settings.base import Settings
from ..settings.measures import Measure
from ..settings.pairs import CorpusRows, Dataset, Filtering


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is found out of each row before a pass."""

    measured: str
    """`scores`, `ranks`, `perplexities`, `signatures`."""
    settings: Measure
    key: str
    before: str
    """The key of the pass that made the rows."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One pass over a data set's rows."""

    settings: Filtering
    folder: str
    """`prepared` or `pairs`."""
    key: str
    before: str | None
    """The key of the pass before; None in the first, which reads the corpus."""
    measuring: Measuring | None
    """What its filters judge by, if that is measured."""


@dataclass(frozen=True, kw_only=True)
class DatasetSteps:
    """A data set's passes."""

    name: str
    dataset: Dataset
    passes: list[Step]

    @property
    def key(self) -> str:
        """The name of the folder of its training pairs."""
        return self.passes[-1].key

    @property
    def measures(self) -> list[Measuring]:
        """What is measured before its passes, in their order."""
        return [step.measuring for step in self.passes if step.measuring]

    @property
    def behind_models(self) -> list[Step]:
        """The passes that wait for what a model finds out."""
        waits = (number for number, step in enumerate(self.passes) if step.measuring and step.measuring.settings.used)
        return self.passes[next(waits, len(self.passes)) :]


def dataset_steps(name: str, dataset: Dataset) -> DatasetSteps:
    """Return the steps of a data set."""
    above, steps = [], []

    def key_of(kind: str, settings: Settings) -> str:
        above.append([kind, settings.model_dump(mode="json", by_alias=True)])
        return f"{name}-{digest_of(above)[:8]}"

    for number, filters in enumerate(dataset.passes, 1):
        before = steps[-1].key if steps else None
        measure = next(filter(None, (each.settings.measure(dataset.task) for each in filters)), None)
        select = None if steps else part(CorpusRows, dataset)
        last = number == len(dataset.passes)
        settings = Filtering(
            select=select,
            positive=dataset.positive,
            filters=filters,
            repeat=dataset.repeat if last else None,
            augment=dataset.augment if last else [],
        )
        measuring = None
        if measure:
            key = key_of(measure.folder, measure)
            measuring = Measuring(measured=settings.measured, settings=measure, key=key, before=before)
        folder = "pairs" if last else "prepared"
        key = key_of(folder, settings)
        steps.append(Step(settings=settings, folder=folder, key=key, before=before, measuring=measuring))
    return DatasetSteps(name=name, dataset=dataset, passes=steps)


def part(kind: type[Settings], whole: Settings) -> Settings:
    """Return the part of some settings that a step uses."""
    return kind(**whole.model_dump(include=set(kind.model_fields)))
