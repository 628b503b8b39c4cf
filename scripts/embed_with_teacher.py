"""Embed the texts of a stage's rows by its teacher, a bi-encoder."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.settings.teachers import Teaching
from ascent.settings.validation import load
from ascent.teachers.scoring import embed_with_teacher


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the teacher and the task type, YAML")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs, part by part")
    parser.add_argument("--negatives", type=Path, nargs="?", help="mined negatives; default: the pairs' own")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    arguments = parser.parse_args()
    files = (arguments.teacher, arguments.pairs, arguments.negatives, arguments.output)
    texts, dimensions = embed_with_teacher(load(Teaching, arguments.settings), *files)
    print(f"{texts:,} texts, {dimensions:,} dimensions")


if __name__ == "__main__":
    raise SystemExit(main())
