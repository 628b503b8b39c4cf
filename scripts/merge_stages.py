"""Make a stage's model from its parents', without training."""

import argparse
from pathlib import Path

from ascent.components import code_of
from ascent.errors import reports_errors
from ascent.settings.stages import StageSettings
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--parents", type=Path, nargs="+", required=True, help="model folders, in the order of 'from'")
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    arguments = parser.parse_args()
    settings = load(StageSettings, arguments.settings)
    code_of(settings.stage)(settings, arguments.parents, arguments.output)


if __name__ == "__main__":
    raise SystemExit(main())
