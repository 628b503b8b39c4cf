"""Train a stage on its data sets. Under torchrun or deepspeed, each process takes its share of every batch."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.settings import Running, StageSettings
from ascent.training.loop import train
from ascent.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--running", type=Path, required=True, help="running.yaml: checkpoints and trackers")
    parser.add_argument("--parent", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="pairs.parquet of each data set")
    parser.add_argument("--negatives", type=Path, nargs="*", default=[], help="negatives of each data set")
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics, one JSON line a step")
    arguments = parser.parse_args()
    settings = load(StageSettings, arguments.settings)
    names = list(settings.tasks)
    for option in ("pairs", "negatives"):
        if len(getattr(arguments, option)) not in ({len(names)} if option == "pairs" else {0, len(names)}):
            raise AscentError(f"{arguments.settings}: has {len(names)} data sets; give as many --{option}.")
    train(
        settings,
        load(Running, arguments.running),
        arguments.parent,
        dict(zip(names, arguments.pairs, strict=True)),
        dict(zip(names, arguments.negatives, strict=False)),
        arguments.output,
        arguments.metrics,
    )


if __name__ == "__main__":
    raise SystemExit(main())
