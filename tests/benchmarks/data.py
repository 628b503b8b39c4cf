"""Rows per second and peak memory of each step from raw rows to tokens, and of `datasets` on the same rows.

    python tests/benchmarks/data.py --rows 20000000 --parts 8 --folder FOLDER
    prlimit --data=4294967296 python tests/benchmarks/data.py --rows 2000000 --parts 2 --folder FOLDER

Synthetic rows are written first, as jsonl in as many files as there are parts: each tenth repeats an earlier one, and
each thousandth's query is a test query. Every step is a process of its own, as in the workflow, part after part. Memory
is the largest resident set of any part's process. Several numbers of rows show how memory grows; tokens.py says what
prlimit counts."""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/benchmarks")]
TESTED = 10_000
# The words of the texts, whose number makes equal texts by chance improbable.
WORDS = [
    f"{a}{b}"
    for a in ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi")
    for b in ("ran", "sel", "tis", "vor", "wun", "zed")
]
FIRST = ["clean", "empty", {"length": {"query": [4, 400]}}]
SECOND = ["duplicate", {"contamination": {"against": ["tested"]}}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000], help="one number, or several to compare")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--peers", action="store_true", help="datasets, too, which needs every row's key in memory")
    options = parser.parse_args()
    for rows in options.rows:
        measure(rows, options.parts, options.folder / str(rows), options.peers)


def measure(rows: int, parts: int, folder: Path, peers: bool) -> None:
    """Print a line per step."""
    import yaml

    from tokens import write_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    bounds = [rows * part // parts for part in range(parts + 1)]
    write_rows(folder / "raw", bounds)
    write_tested(folder / "tested.parquet")
    write_tokenizer(folder / "model")
    corpus = {"reader": {"type": "table", "pairs": {"train": ["*.jsonl"]}}, "language": "eng-Latn"}
    passes = [
        {"select": {"corpus": "bench"}, "positive": "given", "filters": FIRST},
        {"positive": "given", "filters": SECOND},
    ]
    tokens = {"query_prompts": ["question: "], "document_prompts": [""], "max_tokens": 64}
    for name, settings in {"corpus": corpus, "first": passes[0], "second": passes[1], "tokens": tokens}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))

    def files(kind: str) -> list[str]:
        return [str(folder / f"{kind}-{part}.parquet") for part in range(parts)]

    def step(name: str, command, runs: int = parts) -> None:
        seconds, megabytes = 0.0, 0.0
        for part in range(runs):
            spent, peak = timed(command(part))
            seconds, megabytes = seconds + spent, max(megabytes, peak)
        print(f"{rows:>11,} rows  {name:<34} {rows / seconds:>9,.0f} rows/s  {megabytes:>7,.0f} MB", flush=True)

    pairs, first, second = files("pairs"), files("first"), files("second")
    step(
        "normalise_corpus",
        lambda part: script(
            "normalise_corpus.py --name bench --settings", folder / "corpus.yaml", "--resource", folder / "raw",
            "--part", part, "--parts", parts, "--pairs", pairs[part],
            "--documents", folder / f"documents-{part}.parquet",
            "--set-aside", folder / f"set_aside-{part}.parquet", "--audit", folder / f"corpus-{part}.json",
        ),
    )  # fmt: skip
    step(
        "filters of single rows",
        lambda part: script(
            "filter_pairs.py --name bench --settings", folder / "first.yaml", "--rows", pairs[part],
            "--parts", parts + 1, "--output", first[part], "--audit", folder / f"first-{part}.json",
            "--dropped", folder / "dropped.parquet",
        ),
    )  # fmt: skip
    step(
        "duplicates, decontamination",
        lambda part: script(
            "filter_pairs.py --name bench --settings", folder / "second.yaml", "--rows", *first[: part + 1],
            "--audit-before", folder / f"first-{part}.json", "--against", folder / "tested.parquet",
            "--parts", parts + 1,
            "--output", second[part], "--audit", folder / f"second-{part}.json",
            "--dropped", folder / "dropped.parquet",
        ),
    )  # fmt: skip
    check(folder, rows, parts)
    step(
        "tokens, of all parts",
        lambda _: script(
            "tokenise_pairs.py --settings", folder / "tokens.yaml", "--model", folder / "model", "--pairs", *second,
            "--output", folder / "tokens",
        ),
        runs=1,
    )  # fmt: skip
    if peers:
        seconds, megabytes = timed([sys.executable, __file__, "--peer", str(folder)])
        print(
            f"{rows:>11,} rows  {'datasets, same steps':<34} {rows / seconds:>9,.0f} rows/s  {megabytes:>7,.0f} MB",
            flush=True,
        )


def script(words: str, *more) -> list[str]:
    name, *options = words.split()
    return [sys.executable, str(ROOT / "scripts" / name), *options, *map(str, more)]


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return seconds and its peak resident memory, MB. Raises SystemExit with its words if it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}\n{output}")
    return time.perf_counter() - begun, used.ru_maxrss / 1000


def text_of(number: int) -> tuple[str, str]:
    """Return the query and positive of a row: the same number, the same texts."""
    words, rest = [], number * 2654435761 % 2**32 + number * 2**32
    for _ in range(40):
        rest, word = divmod(rest * 31 + 7, len(WORDS))
        words.append(WORDS[word])
        rest %= 2**61
    return f"{number} {' '.join(words[:8])}", f"{' '.join(words)} {number}"


def write_rows(folder: Path, bounds: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    for part, (begin, end) in enumerate(pairwise(bounds)):
        with (folder / f"{part:05d}.jsonl").open("w") as file:
            for number in range(begin, end):
                query, positive = text_of(number // 2 if number % 10 == 9 else number)
                if number % 1000 == 500:
                    query = text_of(10**12 + number // 1000 % TESTED)[0].upper()
                file.write(json.dumps({"query": query, "positive": positive}) + "\n")


def write_tested(path: Path) -> None:
    from ascent.pairs.table import Pair, pair_frame, write_pairs

    rows = (Pair(text_of(10**12 + number)[0], "an answer", split="test") for number in range(TESTED))
    write_pairs(path, pair_frame(rows, "tested", "eng-Latn"))


def check(folder: Path, rows: int, parts: int) -> None:
    """Raise SystemExit if other rows were dropped than those that were planted."""
    from ascent.files import read_json
    from ascent.pairs.filtering import whole_audit

    audit = whole_audit([read_json(folder / f"second-{part}.json") for part in range(parts)])
    planted = {"the query is a test query": 0, "the pair occurred before": 0}
    seen = set()
    for number in range(rows):
        key = number // 2 if number % 10 == 9 else number
        key = -1 - number if number % 1000 == 500 else key
        if number % 1000 == 500:
            planted["the query is a test query"] += 1
        elif key in seen:
            planted["the pair occurred before"] += 1
        seen.add(key)
    if audit["dropped"] != planted:
        raise SystemExit(f"planted {planted}, but dropped {audit['dropped']}")


def peer(folder: Path) -> None:
    """Do the same by the library datasets: read, normalise Unicode and white space, lengths, exact duplicates, test
    queries."""
    import unicodedata

    import datasets
    import pyarrow.parquet as pq

    def clean(text: str) -> str:
        return " ".join(unicodedata.normalize("NFC", text).split())

    tested = {
        "".join(query.casefold().split()) for query in pq.read_table(folder / "tested.parquet")["query"].to_pylist()
    }
    files = sorted(map(str, (folder / "raw").glob("*.jsonl")))
    rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(folder / "cache"))
    rows = rows.map(lambda row: {key: clean(text) for key, text in row.items()})
    rows = rows.filter(lambda row: 4 <= len(row["query"]) <= 400)
    seen: set[int] = set()

    def first(row: dict) -> bool:
        key = hash((row["query"], row["positive"]))
        return not (key in seen or seen.add(key))

    rows = rows.filter(first).filter(lambda row: "".join(row["query"].casefold().split()) not in tested)
    rows.to_parquet(folder / "datasets.parquet")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(Path(sys.argv[2]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        main()
