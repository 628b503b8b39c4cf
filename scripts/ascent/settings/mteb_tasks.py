"""The tasks and benchmarks that mteb knows, from a file that scripts/list_mteb_tasks.py writes: importing mteb takes
seconds."""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from ..files import read_json
from .evaluation import MTEB_TYPES

MTEB = Path(__file__).with_suffix(".json")
# mteb's types of tasks whose rows are pairs.
PAIRED = (
    "Retrieval",
    "Reranking",
    "Classification",
    "MultilabelClassification",
    "Clustering",
    "PairClassification",
    "STS",
    "BitextMining",
)


@cache
def mteb_tasks() -> dict:
    """Return mteb's version, its tasks and its benchmarks, by name."""
    return read_json(MTEB)


@cache
def _types() -> dict[str, str]:
    return {kind: task for task, kinds in MTEB_TYPES.items() for kind in kinds}


def task_type(name: str) -> str | None:
    """Return the task type whose prompts a task of mteb uses; None for one that is unknown, or not of text."""
    return _types().get(mteb_tasks()["tasks"].get(name, {}).get("type"))


def own_prompt(name: str) -> str:
    """Return the instruction that mteb gives the queries, or the texts, of a task; the empty string without one."""
    return mteb_tasks()["tasks"].get(name, {}).get("prompt", "")


@cache
def tasks_with_prompts() -> list[str]:
    """Return the tasks of text that mteb gives an instruction."""
    return [name for name in mteb_tasks()["tasks"] if own_prompt(name) and task_type(name)]


def _trained(name: str) -> str:
    task = mteb_tasks()["tasks"].get(name)
    if task is None:
        near = get_close_matches(name, mteb_tasks()["tasks"], n=1)
        raise ValueError(f"mteb knows no such task: write {near[0] if near else 'its name in mteb'}")
    if task["type"] not in PAIRED or "modalities" in task:
        raise ValueError(f"a task of {task['type']} has no pairs of texts: name one of {', '.join(PAIRED)}")
    return name


# The name of a task of mteb whose data make pairs.
TrainedTask = Annotated[str, AfterValidator(_trained)]
