"""Rank the positive of each pair of a part among a pool of the data set's documents, by a teacher."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.pairs.parquet import writing
from ascent.pairs.table import MEASURES
from ascent.settings.measures import Ranking
from ascent.settings.validation import load
from ascent.teachers.ranking import rank_pairs


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="ranking.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="a part of prepared pairs")
    parser.add_argument("--all-pairs", type=Path, nargs="+", required=True, help="all parts")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--ids", type=Path, required=True, help="ids of the pool, npy")
    parser.add_argument("--pool", type=Path, required=True, help="embeddings of the pool, npy")
    parser.add_argument("--output", type=Path, required=True, help="ranks, parquet")
    arguments = parser.parse_args()
    import numpy as np  # behind the check that this is Ascent's environment

    ids, pool = (np.load(path, mmap_mode="r") for path in (arguments.ids, arguments.pool))
    settings, tables = load(Ranking, arguments.settings), arguments.all_pairs
    with writing(arguments.output, MEASURES["ranks"]) as add:
        for ranks in rank_pairs(settings, arguments.teacher, arguments.pairs, tables, ids, pool):
            add(ranks)


if __name__ == "__main__":
    raise SystemExit(main())
