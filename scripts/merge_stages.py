"""Make a stage's model from its parents', without training."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import read_json
from ascent.settings.stages import StageSettings
from ascent.settings.validation import load
from ascent.training.merging import merge


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--parents", type=Path, nargs="+", required=True, help="model folders, in the order of 'from'")
    parser.add_argument(
        "--weights", type=Path, nargs="?", help="weights.json, as choose_weights wrote it; default: the stage's"
    )
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    arguments = parser.parse_args()
    settings = load(StageSettings, arguments.settings)
    chosen = read_json(arguments.weights)["chosen"] if arguments.weights else None
    merge(settings, arguments.parents, arguments.output, chosen and [chosen[name] for name in settings.stage.parents])


if __name__ == "__main__":
    raise SystemExit(main())
