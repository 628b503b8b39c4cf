"""Write a recipe's scores with intervals, and test each stage against a baseline."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.evaluation.comparison import compare_stages


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="<Task>.json of all stages, units beside them")
    parser.add_argument("--baseline", default="base", help="stage to compare the others with")
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    options = parser.parse_args()
    compare_stages(options.results, options.scores, options.significance, options.baseline)


if __name__ == "__main__":
    raise SystemExit(main())
