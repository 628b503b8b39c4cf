"""The steps of a data set, and the folders of their results.

A folder is called by the data set's name and a digest of the settings that its content depends on, so that data sets of
two recipes may have one name, equal ones share their work, and another threshold scores no pair again.
"""

from dataclasses import dataclass

from ..files import digest_of
from ..settings.base import Settings
from ..settings.pairs import Dataset, Filtering, Preparation, Scoring


@dataclass(frozen=True, kw_only=True)
class DatasetSteps:
    """A data set's steps, `prepared`, `scored` and `pairs`: the settings of each, and the name of its folder."""

    name: str
    dataset: Dataset
    settings: dict[str, Settings]
    keys: dict[str, str]


def dataset_steps(name: str, dataset: Dataset) -> DatasetSteps:
    """Return the steps of a data set."""
    early, late = dataset.filters[: dataset.unscored], dataset.filters[dataset.unscored :]
    settings = {"prepared": part(Preparation, dataset.model_copy(update={"filters": early}))}
    if dataset.teacher:
        settings["scored"] = Scoring(teacher=dataset.teacher, task=dataset.task)
    settings["pairs"] = part(Filtering, dataset.model_copy(update={"filters": late}))
    keys, above = {}, []
    for step, own in settings.items():
        above.append([step, own.model_dump(mode="json", by_alias=True)])
        keys[step] = f"{name}-{digest_of(above)[:8]}"
    return DatasetSteps(name=name, dataset=dataset, settings=settings, keys=keys)


def part(kind: type[Settings], whole: Settings) -> Settings:
    """Return the part of some settings that a step uses."""
    return kind(**whole.model_dump(include=set(kind.model_fields)))
