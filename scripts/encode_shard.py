"""Embed one shard of a data set's queries and documents by a stage's model."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors, warn
from ascent.model.encoder import Encoder
from ascent.negatives.shards import encode_shard
from ascent.pairs.parquet import named
from ascent.settings.model import Tokenising
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs, part by part")
    parser.add_argument("--settings", type=Path, required=True, help="prompts and maximum tokens, YAML")
    parser.add_argument("--shard", type=int, required=True, help="which shard, from 0")
    parser.add_argument("--shards", type=int, required=True, help="how many shards there are")
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards")
    arguments = parser.parse_args()
    encoder = Encoder(arguments.model)
    settings = load(Tokenising, arguments.settings)
    several = encode_shard(encoder, arguments.pairs, settings, arguments.shard, arguments.shards, arguments.output)
    if arguments.shard == 0:
        for side, number in several.items():
            if number:
                plural = "queries" if side == "query" else "documents"
                warn(
                    f"{named(arguments.pairs)}: {number:,} {plural} occur with a second prompt; for mining they have"
                    " the first."
                )


if __name__ == "__main__":
    raise SystemExit(main())
