"""mteb's names: what its task types and metrics are called here. Nothing here imports mteb."""

from functools import cache
from types import ModuleType

from ..components import module_of
from ..settings.base import components
from ..settings.evaluation import LocalTask

# mteb's task types of which no local task can be made: the task type whose prompts they take, and the local task type whose
# units they have.
OTHERS = {
    "Any2AnyRetrieval": ("default", "retrieval"),
    "InstructionRetrieval": ("retrieval", "retrieval"),
    "InstructionReranking": ("reranking", "reranking"),
    "Summarization": ("sts", None),
    "BitextMining": ("sts", None),
    "MultilabelClassification": ("classification", None),
    "PairClassification": ("pair-classification", None),
}


@cache
def local_types() -> dict[str, ModuleType]:
    """Return the file of each local task type, by the type's name."""
    return {name: module_of(task) for name, task in components(LocalTask).items()}


def prompt_task(mteb_type: str) -> str:
    """Return the task type whose prompts a task of mteb takes."""
    named = {module.MTEB_TYPE: name for name, module in local_types().items()}
    return named.get(mteb_type) or OTHERS.get(mteb_type, ("default", None))[0]


def local_type(mteb_type: str) -> ModuleType | None:
    """Return the file of the local task type whose units a task of mteb has; None if it has none."""
    _, name = OTHERS.get(mteb_type, (None, None))
    return next((file for key, file in local_types().items() if mteb_type == file.MTEB_TYPE or key == name), None)


def metric_name(metric: str) -> str:
    """Return a metric of mteb as papers write it: ndcg_at_10 -> nDCG@10."""
    measure, _, depth = metric.partition("_at_")
    names = {key: name for file in local_types().values() for key, name in file.METRICS.items()}
    return names.get(measure, measure.replace("_", " ")) + (f"@{depth}" if depth else "")
