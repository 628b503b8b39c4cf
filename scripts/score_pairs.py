"""Score each pair by the similarity of its two embeddings by a teacher."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.pairs.parquet import writing
from ascent.pairs.table import MEASURES
from ascent.settings.measures import Scoring
from ascent.settings.validation import load
from ascent.teachers.scoring import score_pairs


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="scoring.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="prepared pairs")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--output", type=Path, required=True, help="scores, parquet")
    arguments = parser.parse_args()
    with writing(arguments.output, MEASURES["scores"]) as add:
        for scores in score_pairs(load(Scoring, arguments.settings), arguments.teacher, arguments.pairs):
            add(scores)


if __name__ == "__main__":
    raise SystemExit(main())
