"""Score each row's positive and negatives by a stage's teacher."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.settings.teachers import Teaching
from ascent.settings.validation import load
from ascent.teachers.scoring import score_with_teacher


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the teacher and the task type, YAML")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs, part by part")
    parser.add_argument("--negatives", type=Path, nargs="?", help="mined negatives; default: the pairs' own")
    parser.add_argument("--output", type=Path, required=True, help="scores, parquet")
    arguments = parser.parse_args()
    files = (arguments.teacher, arguments.pairs, arguments.negatives, arguments.output)
    told = score_with_teacher(load(Teaching, arguments.settings), *files)
    print(f"{told.rows:,} rows, {told.scores:,} scores from {told.least:.4g} to {told.greatest:.4g}")


if __name__ == "__main__":
    raise SystemExit(main())
