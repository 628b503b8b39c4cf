"""Evaluate a model on one task with mteb."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.settings.evaluation import TaskSettings
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="<Task>.yaml: the task")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--name", required=True, help="the model's name for mteb, organisation/name")
    # Without a value, as the workflow calls it for a task that mteb knows, the same as not given.
    parser.add_argument("--pairs", type=Path, nargs="?", help="pairs.parquet of a local task's corpus")
    parser.add_argument("--documents", type=Path, nargs="?", help="documents.parquet of a local task's corpus")
    parser.add_argument("--output", type=Path, required=True, help="<Task>.json, as mteb writes it")
    parser.add_argument(
        "--units",
        type=Path,
        required=True,
        help="<Task>.units.parquet: scores of single queries, pairs or texts",
    )
    options = vars(parser.parse_args())
    settings = load(TaskSettings, options.pop("settings"))

    from ascent.evaluation.run import evaluate_task

    evaluate_task(settings, options.pop("model"), options.pop("name"), **options)


if __name__ == "__main__":
    raise SystemExit(main())
