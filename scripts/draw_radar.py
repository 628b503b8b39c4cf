"""Draw the scores of a recipe's stages, by task type."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.evaluation.comparison import read_table
from ascent.report.figures import draw_radar


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help="images to write, .svg or .png")
    options = parser.parse_args()
    draw_radar(read_table(options.scores), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
