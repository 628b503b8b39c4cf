"""Tabulate the scores of a recipe's stages, with intervals, and test each stage against a baseline."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.evaluation.statistics import compare_stages


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="the recipe's name")
    parser.add_argument("--results", type=Path, nargs="+", required=True, help=".../<stage>/mteb/<Task>.json, units beside it")
    parser.add_argument("--baseline", default="base", help="the stage that the others are compared with")
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    options = parser.parse_args()
    compare_stages(options.recipe, options.results, options.scores, options.significance, options.baseline)


if __name__ == "__main__":
    raise SystemExit(main())
