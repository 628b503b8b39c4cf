"""Take a data set's rows of a corpus and apply the filters before scoring; count every drop."""

import argparse

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.pairs.filtering import prepare
from ascent.pairs.table import read_all_pairs, read_pairs, write_pairs
from ascent.settings.pairs import Preparation
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the data set's name")
    parser.add_argument("--settings", required=True, help="preparation.yaml")
    parser.add_argument("--pairs", required=True, help="the corpus's pairs")
    parser.add_argument("--against", nargs="*", default=[], help="pairs of the corpora and tasks that filters compare with")
    parser.add_argument("--output", required=True, help="parquet file to write")
    parser.add_argument("--audit", required=True, help="JSON file to write")
    options = parser.parse_args()

    pairs = read_pairs(options.pairs)
    against = read_all_pairs(options.against)
    prepared, audit = prepare(options.name, load(Preparation, options.settings), pairs, against)
    write_pairs(options.output, prepared)
    write_json(options.audit, audit)


if __name__ == "__main__":
    raise SystemExit(main())
