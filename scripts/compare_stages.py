"""Write a recipe's scores with intervals, and test each stage against the base, a merged one against its parents,
too."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.evaluation.comparison import best_parents, compare_stages
from ascent.files import read_json


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--results", type=Path, nargs="+", required=True, help="<Task>.json of all stages, units beside them"
    )
    parser.add_argument("--baseline", default="base", help="stage to compare the others with")
    parser.add_argument(
        "--against", nargs="*", default=[], help="of each merged stage, STAGE=its evaluated parents, with commas"
    )
    parser.add_argument(
        "--choices", type=Path, nargs="*", default=[], help="weights.json of merges with a development set"
    )
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    options = parser.parse_args()
    parents = {
        stage: names.split(",") if names else []
        for stage, _, names in (text.partition("=") for text in options.against)
    }
    against = best_parents(parents, [read_json(path) for path in options.choices], options.baseline)
    compare_stages(options.results, options.scores, options.significance, options.baseline, against)


if __name__ == "__main__":
    raise SystemExit(main())
