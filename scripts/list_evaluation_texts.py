"""List the test texts of a task of mteb, and its documents."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", required=True, help="the task's name in mteb; texts of all its subsets are listed")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write, a pair table")
    parser.add_argument("--documents", type=Path, required=True, help="parquet file to write, a document table")
    options = parser.parse_args()

    from ascent.evaluation.tasks import make_task
    from ascent.evaluation.texts import tested_pairs, write_task_documents
    from ascent.pairs.table import write_pairs
    from ascent.settings.evaluation import TaskSettings

    task = make_task(TaskSettings(name=options.task))
    write_pairs(options.output, tested_pairs(task))
    write_task_documents(options.documents, task)


if __name__ == "__main__":
    raise SystemExit(main())
