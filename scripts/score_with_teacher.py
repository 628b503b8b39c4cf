"""Score each row's positive and negatives by a stage's teacher."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.negatives.table import training_rows
from ascent.pairs.parquet import named
from ascent.settings.teachers import Teaching
from ascent.settings.validation import load
from ascent.teachers.outputs import write_scores
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
    rows = training_rows(arguments.pairs, arguments.negatives)
    if rows["negatives"].list.len().sum() == 0:
        raise AscentError(
            f"{named(arguments.pairs)}: no row has a negative, and a teacher's scores of positives alone teach nothing;"
            " mine negatives, or use another objective."
        )
    scores = score_with_teacher(load(Teaching, arguments.settings), arguments.teacher, rows)
    write_scores(arguments.output, rows, scores)
    print(f"{len(rows):,} rows, {len(scores):,} scores from {scores.min():.4g} to {scores.max():.4g}")


if __name__ == "__main__":
    raise SystemExit(main())
