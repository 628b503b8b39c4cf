"""mteb's names: what its task types and metrics are called here. Nothing here imports mteb."""

from functools import cache
from types import ModuleType

from ..components import module_of
from ..settings.base import components
from ..settings.evaluation import LocalTask

# mteb's task types that no local task can have: the local type whose units they share.
OTHERS = {"Any2AnyRetrieval": "retrieval", "InstructionRetrieval": "retrieval", "InstructionReranking": "reranking"}


@cache
def local_types() -> dict[str, ModuleType]:
    """Return the modules of local task types, by the types' names."""
    return {name: module_of(task) for name, task in components(LocalTask).items()}


def local_type(mteb_type: str) -> ModuleType | None:
    """Return the module of the local task type whose units a task of mteb shares; None if it has no units."""
    made = {task.mteb_types[0]: name for name, task in components(LocalTask).items()}
    return local_types().get((made | OTHERS).get(mteb_type))


def units_name(mteb_type: str) -> str:
    """Return what the units of a task of mteb are: queries, pairs or texts."""
    file = local_type(mteb_type)
    return file.UNITS if file else "texts"


def metric_name(metric: str) -> str:
    """Return a metric of mteb as papers write it: ndcg_at_10 -> nDCG@10."""
    measure, _, depth = metric.partition("_at_")
    names = {key: name for file in local_types().values() for key, name in file.METRICS.items()}
    return names.get(measure, measure.replace("_", " ")) + (f"@{depth}" if depth else "")
