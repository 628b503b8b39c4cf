"""The tasks and benchmarks that mteb knows, from a file that scripts/list_mteb_tasks.py writes: importing mteb takes seconds."""

from functools import cache
from pathlib import Path

from ..files import read_json
from .evaluation import MTEB_TYPES

MTEB = Path(__file__).with_suffix(".json")


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
