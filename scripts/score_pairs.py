"""Score each pair by a teacher: the similarity of the query's and the positive's embeddings."""

import argparse
from pathlib import Path

import polars as pl
from ascent.encoder import Encoder
from ascent.errors import AscentError, reports_errors
from ascent.files import write_atomically
from ascent.pairs import read_pairs
from ascent.settings import Dataset, load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="dataset.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="prepared pairs")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--output", type=Path, required=True, help="scores, parquet")
    arguments = parser.parse_args()
    dataset = load(Dataset, arguments.settings)
    if dataset.teacher is None:
        raise AscentError(f"{arguments.settings}: has no teacher; add one or leave out min_score.")
    pairs = read_pairs(arguments.pairs)
    teacher = Encoder.of_backbone(arguments.teacher, dataset.teacher)
    queries = teacher.encode(pairs["query"].to_list(), side="query", task=dataset.task, progress=True)
    positives = teacher.encode(pairs["positive"].to_list(), side="document", task=dataset.task, progress=True)
    scores = pairs.select("query_id", "positive_id").with_columns(score=pl.Series((queries * positives).sum(axis=1)))
    with write_atomically(arguments.output) as temporary:
        scores.write_parquet(temporary)


if __name__ == "__main__":
    raise SystemExit(main())
