"""Memory and rows per second of a teacher's scores and embeddings, from rows with one negative each.

    python tests/benchmarks/teachers.py --rows 20000 200000 --folder FOLDER

The teachers have random weights and 32 dimensions, so that the rows' part in the memory shows. Each line is a process
of its own; its words are those of tokens.py. The folder is removed at the end."""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests"), str(ROOT / "tests/benchmarks")]
from tokens import Memory, part, show, write_pairs  # noqa: E402

STEPS = {
    "score, bi-encoder": ("score_with_teacher", "bi-encoder"),
    "score, cross-encoder": ("score_with_teacher", "cross-encoder"),
    "embed": ("embed_with_teacher", "bi-encoder"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(teach(options.folder, *options.part)))
        return
    options.folder.mkdir(parents=True)
    try:
        make_teachers(options.folder)
        for rows in options.rows:
            write_pairs(options.folder / str(rows), rows)
            for step in options.steps:
                show(f"{step} {rows:>10,} rows", part(options.folder, step, str(rows), script=__file__))
    finally:
        shutil.rmtree(options.folder)


def make_teachers(folder: Path) -> None:
    from ascent.files import write_json
    from support.small_recipe import make_model

    for kind, labels in (("bi-encoder", None), ("cross-encoder", 1)):
        make_model(folder / kind, labels=labels)
        teacher = {"model": "t", "type": kind, "max_tokens": 32}
        write_json(folder / f"{kind}.yaml", {"teacher": teacher, "task": "retrieval"})


def teach(folder: Path, step: str, rows: str) -> dict:
    """Run the step's script on the pairs of a folder."""
    from importlib import import_module

    script, kind = STEPS[step]
    pairs = sorted((folder / rows).glob("pairs-*.parquet"))
    sys.argv = [
        script, "--settings", str(folder / f"{kind}.yaml"), "--teacher", str(folder / kind),
        "--pairs", *map(str, pairs), "--output", str(folder / rows / script),
    ]  # fmt: skip
    main = import_module(script).main
    with Memory() as memory:
        began = time.perf_counter()
        if main():
            raise SystemExit(1)
        seconds = time.perf_counter() - began
    return memory.found() | {"rows/s": round(int(rows) / seconds)}


if __name__ == "__main__":
    main()
