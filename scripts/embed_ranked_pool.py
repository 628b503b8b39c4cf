"""Embed the pool of documents among which a data set's positives are ranked."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_atomically
from ascent.settings.measures import Ranking
from ascent.settings.validation import load
from ascent.teachers.ranking import embed_ranked_pool


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="ranking.yaml")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="prepared pairs, part by part")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with the retrieved teacher")
    parser.add_argument("--ids", type=Path, required=True, help="ids to write, npy")
    parser.add_argument("--output", type=Path, required=True, help="embeddings to write, npy")
    arguments = parser.parse_args()
    import numpy as np  # behind the check that this is Ascent's environment

    ids, embeddings = embed_ranked_pool(load(Ranking, arguments.settings), arguments.teacher, arguments.pairs)
    for path, array in ((arguments.ids, ids), (arguments.output, embeddings)):
        with write_atomically(path) as temporary:
            np.save(temporary, array)


if __name__ == "__main__":
    raise SystemExit(main())
