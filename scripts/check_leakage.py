"""Check that no test text is among the training texts: queries, positives, negatives."""

import argparse

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.pairs.leakage import check_leakage
from ascent.pairs.table import all_batches
from ascent.settings.evaluation import LeakCheck
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", nargs="*", default=[], help="training pairs")
    parser.add_argument("--evaluation", nargs="*", default=[], help="pairs of the corpora that tasks are made of")
    parser.add_argument("--settings", required=True, help="leakage.yaml")
    parser.add_argument("--output", required=True, help="JSON file to write")
    options = parser.parse_args()

    splits = load(LeakCheck, options.settings).splits
    counts = check_leakage(all_batches(options.pairs), all_batches(options.evaluation), splits)
    write_json(options.output, counts)


if __name__ == "__main__":
    raise SystemExit(main())
