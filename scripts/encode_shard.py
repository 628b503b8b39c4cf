"""Embed one shard of a data set's queries and documents by a stage's model."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.model.encoder import Encoder
from ascent.negatives.shards import encode_shard


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.parquet")
    parser.add_argument("--task", required=True, help="task type, which chooses the prompts")
    parser.add_argument("--shard", type=int, required=True, help="which shard, from 0")
    parser.add_argument("--shards", type=int, required=True, help="how many shards there are")
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards")
    arguments = parser.parse_args()
    encoder = Encoder(arguments.model)
    encode_shard(encoder, arguments.pairs, arguments.task, arguments.shard, arguments.shards, arguments.output)


if __name__ == "__main__":
    raise SystemExit(main())
