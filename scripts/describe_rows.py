"""Count what a corpus or a data set is made of: lengths, tokens, languages, classes, repetitions."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.report.statistics import describe


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the corpus's or the data set's name")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="its pairs, all parts in order")
    parser.add_argument(
        "--documents", type=Path, nargs="*", default=[], help="a corpus's documents, all parts in order"
    )
    parser.add_argument("--model", type=Path, nargs="?", help="folder of the model whose tokens are counted")
    parser.add_argument("--output", required=True, help="JSON file to write")
    options = parser.parse_args()
    write_json(options.output, describe(options.name, options.pairs, options.documents, options.model))


if __name__ == "__main__":
    raise SystemExit(main())
