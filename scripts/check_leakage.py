"""Check that no test text is among the training texts."""

import argparse

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.pairs.leakage import check_leakage
from ascent.pairs.table import SPLITS, read_pairs


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", nargs="*", default=[], help="training pairs")
    parser.add_argument("--evaluation", nargs="*", default=[], help="pairs of the corpora that tasks are made of")
    parser.add_argument("--splits", nargs="*", default=["test"], choices=SPLITS, help="the splits that are evaluated")
    parser.add_argument("--output", required=True, help="JSON file to write")
    options = parser.parse_args()

    counts = check_leakage([*map(read_pairs, options.pairs)], [*map(read_pairs, options.evaluation)], options.splits)
    write_json(options.output, counts)


if __name__ == "__main__":
    raise SystemExit(main())
