"""mteb's names: what its task types and metrics are called here. Nothing here imports mteb."""

from functools import cache
from types import ModuleType

from ..components import module_of
from ..settings.base import components
from ..settings.evaluation import LocalTask

# mteb's task types that no local task can have, and whose units they have: a local type's, or a file's beside this one.
OTHERS = {
    "Any2AnyRetrieval": "retrieval",
    "InstructionRetrieval": "retrieval",
    "InstructionReranking": "reranking",
    "MultilabelClassification": "classification",
    "BitextMining": "bitext",
}


@cache
def local_types() -> dict[str, ModuleType]:
    """Return the modules of local task types, by the types' names."""
    return {name: module_of(task) for name, task in components(LocalTask).items()}


def units_of(mteb_type: str) -> ModuleType | None:
    """Return the file whose `units` are those of a task of mteb; None if it has no units."""
    made = {task.mteb_types[0]: name for name, task in components(LocalTask).items()}
    return _files().get((made | OTHERS).get(mteb_type))


def units_name(mteb_type: str) -> str:
    """Return what the units of a task of mteb are: queries, pairs or texts."""
    file = units_of(mteb_type)
    return file.UNITS if file else "texts"


def metric_name(metric: str) -> str:
    """Return a metric of mteb as papers write it: ndcg_at_10 -> nDCG@10."""
    measure, _, depth = metric.partition("_at_")
    names = {key: name for file in _files().values() for key, name in file.METRICS.items()}
    return names.get(measure, measure.replace("_", " ")) + (f"@{depth}" if depth else "")


def _files() -> dict[str, ModuleType]:
    from . import bitext

    return {**local_types(), "bitext": bitext}
