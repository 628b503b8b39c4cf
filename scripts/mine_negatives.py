"""Choose hard negatives for each pair from the shards of a data set."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.negatives.selection import Pool, mine
from ascent.negatives.shards import open_shards
from ascent.settings.negatives import Selection
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="mining.yaml")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs, part by part")
    parser.add_argument("--shards", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--count", type=int, required=True, help="how many shards there are")
    parser.add_argument(
        "--pool",
        action="append",
        nargs="+",
        default=[],
        metavar=("CORPUS", "FOLDER COUNT DOCUMENTS"),
        help="a corpus to mine in: its name, the folder of its shards, their number, and its documents",
    )
    parser.add_argument("--stage", required=True, help="the stage that mines, for the audit")
    parser.add_argument("--dataset", required=True, help="the data set, for the audit")
    parser.add_argument("--output", type=Path, required=True, help="negatives, parquet")
    parser.add_argument("--audit", type=Path, required=True, help="audit, JSON")
    arguments = parser.parse_args()
    shards = open_shards(arguments.shards, arguments.count)
    pools = {
        corpus: Pool(open_shards(Path(folder), int(count)), [Path(file) for file in files])
        for corpus, folder, count, *files in arguments.pool
    }
    audit = mine(shards, arguments.pairs, load(Selection, arguments.settings), arguments.output, pools)
    named = {"kind": "negatives", "stage": arguments.stage, "dataset": arguments.dataset}
    write_json(arguments.audit, named | audit)


if __name__ == "__main__":
    raise SystemExit(main())
