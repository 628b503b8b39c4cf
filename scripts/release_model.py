"""Assemble a release: model, card, radar, and mteb's results in the layout of its results repository."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.release.assemble import release_model
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="release.yaml")
    parser.add_argument("--model", type=Path, required=True, help="model folder of the released stage")
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    parser.add_argument("--audits", type=Path, nargs="*", default=[], help="audits of pairs and negatives, JSON")
    parser.add_argument("--leakage", type=Path, required=True, help="leakage.json")
    parser.add_argument("--radar", type=Path, required=True, help="image of the scores, .png")
    parser.add_argument(
        "--results", type=Path, nargs="+", required=True, help="the stage's <Task>.json, as written by mteb"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    options = vars(parser.parse_args())
    release_model(
        load(ReleaseSettings, options.pop("settings")), options.pop("model"), options.pop("output"), **options
    )


if __name__ == "__main__":
    raise SystemExit(main())
