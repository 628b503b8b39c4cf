"""Measure the perplexity of each pair's query and positive by a causal language model."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.pairs.parquet import writing
from ascent.pairs.table import MEASURES
from ascent.settings.measures import Predicting
from ascent.settings.validation import load
from ascent.teachers.predicting import measure_perplexity


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="predicting.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="prepared pairs")
    parser.add_argument("--model", type=Path, required=True, help="folder with the retrieved language model")
    parser.add_argument("--output", type=Path, required=True, help="perplexities, parquet")
    arguments = parser.parse_args()
    with writing(arguments.output, MEASURES["perplexities"]) as add:
        for found in measure_perplexity(load(Predicting, arguments.settings), arguments.model, arguments.pairs):
            add(found)


if __name__ == "__main__":
    raise SystemExit(main())
