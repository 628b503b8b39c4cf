"""Score each pair by the similarity of its two embeddings by a teacher."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_atomically
from ascent.pairs.table import read_pairs
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
    scores = score_pairs(load(Scoring, arguments.settings), arguments.teacher, read_pairs(arguments.pairs))
    with write_atomically(arguments.output) as temporary:
        scores.write_parquet(temporary)


if __name__ == "__main__":
    raise SystemExit(main())
