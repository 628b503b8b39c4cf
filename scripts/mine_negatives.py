"""Choose hard negatives for each pair from the shards of a data set."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.negatives import mine, write_negatives
from ascent.pairs import read_pairs
from ascent.settings import StageSettings, TrainStage, load
from ascent.shards import open_shards


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.parquet")
    parser.add_argument("--shards", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--count", type=int, required=True, help="how many shards there are")
    parser.add_argument("--output", type=Path, required=True, help="negatives, parquet")
    parser.add_argument("--audit", type=Path, required=True, help="audit, JSON")
    arguments = parser.parse_args()
    stage = load(StageSettings, arguments.settings).stage
    if not isinstance(stage, TrainStage) or stage.mining is None:
        raise AscentError(f"{arguments.settings}: the stage mines no negatives; give it 'mining'.")
    table, audit = mine(open_shards(arguments.shards, arguments.count), read_pairs(arguments.pairs), stage.mining)
    write_negatives(table, audit, arguments.output, arguments.audit)


if __name__ == "__main__":
    raise SystemExit(main())
