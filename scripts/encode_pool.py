"""Embed one shard of a corpus's documents by a stage's model, to mine negatives among them."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors, warn
from ascent.model.encoder import Encoder
from ascent.negatives.pools import encode_pool
from ascent.pairs.table import read_tested
from ascent.settings.negatives import PoolEncoding
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--documents", type=Path, required=True, help="the part that the shard is of")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="tables of tasks to compare with")
    parser.add_argument("--settings", type=Path, required=True, help="prompts, maximum tokens and split, YAML")
    parser.add_argument("--share", type=int, nargs=2, required=True, help="which share of the part; of how many")
    parser.add_argument("--shard", type=int, nargs=2, required=True, help="which shard of the corpus; of how many")
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards")
    options = parser.parse_args()
    settings, against = load(PoolEncoding, options.settings), read_tested(options.against)
    share, shard, encoder = tuple(options.share), tuple(options.shard), Encoder(options.model)
    left_out = encode_pool(encoder, options.documents, settings, against, share, shard, options.output)
    for reason, count in left_out.items():
        why = reason.replace("the query", "the text")
        warn(f"{options.documents}: {count:,} documents are not mined, because {why}.")


if __name__ == "__main__":
    raise SystemExit(main())
