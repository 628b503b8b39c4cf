"""Make the MinHash signature of each pair."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.pairs.signing import sign_pairs
from ascent.settings.measures import Signing
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="signing.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="a part of prepared pairs")
    parser.add_argument("--output", type=Path, required=True, help="signatures, parquet")
    arguments = parser.parse_args()
    sign_pairs(load(Signing, arguments.settings), arguments.pairs, arguments.output)


if __name__ == "__main__":
    raise SystemExit(main())
