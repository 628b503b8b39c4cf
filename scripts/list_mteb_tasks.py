"""Write the names of the installed mteb's tasks and benchmarks, which recipes are checked against without importing
mteb."""

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

from ascent.errors import AscentError, reports_errors
from ascent.files import write_json
from ascent.settings.mteb_tasks import MTEB


def mteb_tasks() -> dict[str, Any]:
    """Return mteb's version, all its registered tasks by name, and each benchmark's tasks by name.

    A task's entry says its type, what keeps it from being run (`is_public` if its data are not, `modalities` if they
    are not text alone), and the instruction that mteb gives its queries, or its texts where they have no side. If a
    benchmark uses only some of a task's subsets or splits, the task's entry there names them."""
    warnings.simplefilter("ignore", UserWarning)  # one per beta task
    logging.disable(logging.WARNING)
    import mteb

    # A recipe may name tasks that mteb does not list by default, and benchmarks contain some of them.
    tasks = mteb.get_tasks(exclude_superseded=False, exclude_private=False, exclude_beta=False)
    benchmarks = mteb.get_benchmarks()
    return {
        "mteb": mteb.__version__,
        "tasks": {task.metadata.name: _kind(task) for task in tasks},
        "benchmarks": {
            benchmark.name: {task.metadata.name: _part(task) for task in benchmark.tasks} for benchmark in benchmarks
        },
    }


def _kind(task) -> dict[str, Any]:
    parts = [part.metadata for part in (task.metadata.tasks if task.is_aggregate else [task])]
    modalities = sorted({modality for part in parts for modality in part.modalities})
    kind: dict[str, Any] = {"type": task.metadata.type}
    kind |= {} if all(part.is_public for part in parts) else {"is_public": False}
    if modalities != ["text"]:
        return kind | {"modalities": modalities}
    prompt = task.metadata.prompt or ""
    if isinstance(prompt, dict):
        if prompt.keys() != {"query"}:
            raise AscentError(
                f"{task.metadata.name}: mteb has a prompt for {', '.join(prompt)}; teach settings/mteb_tasks.py to"
                " read it."
            )
        prompt = prompt["query"]
    return kind | ({"prompt": prompt} if prompt else {})


def _part(task) -> dict[str, list[str]]:
    part = {}
    if set(task.hf_subsets) != set(task.metadata.hf_subsets):
        part["subsets"] = sorted(task.hf_subsets)
    if set(task.eval_splits) != set(task.metadata.eval_splits):
        part["splits"] = sorted(task.eval_splits)
    return part


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MTEB, help="JSON file to write")
    write_json(parser.parse_args().output, mteb_tasks())


if __name__ == "__main__":
    raise SystemExit(main())
