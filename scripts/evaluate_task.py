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
    parser.add_argument("--recipe", required=True, help="the recipe's name")
    parser.add_argument(
        "--stage", required=True, help="the stage's name; mteb knows the model as ascent/<recipe>-<stage>"
    )
    # The workflow passes these two without a value for a task that mteb knows by name.
    parser.add_argument("--pairs", type=Path, nargs="*", help="pairs of a local task's corpus")
    parser.add_argument("--documents", type=Path, nargs="*", help="documents of a local task's corpus")
    of_pool = "another corpus whose documents a local task searches, and these"
    parser.add_argument("--pool", action="append", nargs="+", default=[], metavar=("CORPUS", "FILE"), help=of_pool)
    parser.add_argument("--output", type=Path, required=True, help="<Task>.json, as mteb writes it")
    parser.add_argument(
        "--units", type=Path, required=True, help="<Task>.units.parquet: scores per query, pair or text"
    )
    options = vars(parser.parse_args())
    settings = load(TaskSettings, options.pop("settings"))
    pools = {corpus: [Path(file) for file in files] for corpus, *files in options.pop("pool")}

    from ascent.evaluation.run import evaluate_task

    evaluate_task(settings, options.pop("model"), pools=pools, **options)


if __name__ == "__main__":
    raise SystemExit(main())
