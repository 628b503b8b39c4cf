"""Score each pair by a teacher: the similarity of the query's and the positive's embeddings."""

import argparse
from pathlib import Path

import polars as pl

from ascent.errors import reports_errors
from ascent.files import write_atomically
from ascent.model.encoder import Encoder
from ascent.pairs.table import read_pairs
from ascent.settings.pairs import Scoring
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="scoring.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="prepared pairs")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--output", type=Path, required=True, help="scores, parquet")
    arguments = parser.parse_args()
    scoring = load(Scoring, arguments.settings)
    pairs = read_pairs(arguments.pairs)
    teacher = Encoder.of_backbone(arguments.teacher, scoring.teacher)
    queries = teacher.encode(pairs["query"].to_list(), side="query", task=scoring.task, progress=True)
    positives = teacher.encode(pairs["positive"].to_list(), side="document", task=scoring.task, progress=True)
    scores = pairs.select("query_id", "positive_id").with_columns(score=pl.Series((queries * positives).sum(axis=1)))
    with write_atomically(arguments.output) as temporary:
        scores.write_parquet(temporary)


if __name__ == "__main__":
    raise SystemExit(main())
