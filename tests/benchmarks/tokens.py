"""Memory and rows per second of tokenising, and of reading batches at the beginning, in the middle and at the end of a
pass, beside an order of all rows in memory (numpy) and torch's RandomSampler.

    python tests/benchmarks/tokens.py --rows 50000000 --texts 20000 200000 2000000 --folder FOLDER
    prlimit --data=4294967296 python tests/benchmarks/tokens.py --rows 100000000 --processes 2 --folder FOLDER

Tokens of the given number of rows are generated, 20 a row, in texts that occur once; the folder is removed at the end.
Each line is a process of its own; with --processes so many read their shares of the same batches at once. prlimit holds
each of them to 4 GiB of data: what it writes to or could, the heap and stacks included, used or not. It does not count
mapped files that are only read, whose pages the system takes back when it needs them. `own` is the most memory that it
had of its own (RssAnon, without pages of mapped files, sampled 100 times a second), `before` what it had of it before
it opened anything, `resident` its peak resident set. `order` is the rows per second of the order alone, `batches` those
with their tokens."""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/benchmarks")]
OF_QUERY, OF_DOCUMENT = 5, 15
BATCH = 1024
STEPS = 200
SETTINGS = {
    "plain": {},
    "buckets": {"bucket_batches": 16},
    "budget of tokens": {"batch_tokens": 20_000},
    "numpy": {},
    "torch": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, help="rows of generated tokens to read; 180 bytes each")
    parser.add_argument("--texts", type=int, nargs="*", default=[], help="rows to tokenise")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the batches they read")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        what, *words = options.part
        try:
            found = (read if what == "read" else tokenise)(options.folder, *words)
        except MemoryError:
            found = {"out of memory": 1}
        print(json.dumps(found))
        return
    options.folder.mkdir(parents=True)
    try:
        for rows in options.texts:
            write_pairs(options.folder / str(rows), rows)
            show(f"tokenise {rows:>11,} rows", part(options.folder, "tokenise", str(rows)))
        if options.rows:
            began = time.perf_counter()
            write_tokens(options.folder / "tokens", options.rows)
            size = sum(file.stat().st_size for file in (options.folder / "tokens").iterdir())
            print(f"{options.rows:,} rows of tokens, {size / 1e9:.1f} GB, {time.perf_counter() - began:.0f} s to write")
            for name in SETTINGS:
                shares = [["read", name, str(rank), str(options.processes)] for rank in range(options.processes)]
                for found in together(options.folder, *shares):
                    show(f"read, {name}", found)
    finally:
        shutil.rmtree(options.folder)


def part(folder: Path, *what: str, script: str = __file__) -> dict:
    """Run one measurement of a script in a process of its own; return what it found."""
    return together(folder, what, script=script)[0]


def together(folder: Path, *parts: Sequence[str], script: str = __file__) -> list[dict]:
    """Run measurements of a script at the same time, each in a process of its own; return what they found."""
    commands = [[sys.executable, script, "--folder", str(folder), "--part", *what] for what in parts]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(1)
    return [json.loads(words.splitlines()[-1]) for words in said]


def show(what: str, found: dict) -> None:
    numbers = {name: value if isinstance(value, dict) else {"": value} for name, value in found.items()}
    words = (f"{name} {key} {value:,}" for name, of in numbers.items() for key, value in of.items())
    print(f"{what:<24} " + "; ".join(word.replace("  ", " ") for word in words), flush=True)


class Memory:
    """The memory of this process while a `with` lasts."""

    def __enter__(self) -> "Memory":
        self.before = self.peak = self._own()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self._thread.join()

    def found(self) -> dict:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
        return {"own MB": self.peak, "before MB": self.before, "resident MB": peak}

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, self._own())

    @staticmethod
    def _own() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1000


# ---------------------------------------------------------------- reading


def write_tokens(folder: Path, rows: int) -> None:
    """Write tokens of rows that have a query and a document each, all different."""
    from ascent.files import write_json
    from ascent.pairs.arrays import blocks, growing
    from ascent.tokens.table import META

    folder.mkdir()
    draw = np.random.default_rng(0)

    def write(name: str, dtype: str, length: int, numbers) -> None:
        with growing(folder / f"{name}.npy", dtype) as array:
            for block in blocks(length):
                array.add(numbers(np.arange(block.start, block.stop)))

    each = OF_QUERY + OF_DOCUMENT
    write("tokens", "<i4", rows * each, lambda places: draw.integers(5, 30_000, len(places), dtype=np.int32))
    write(
        "offsets", "<i8", 2 * rows + 1,
        lambda texts: np.minimum(texts, rows) * OF_QUERY + np.maximum(texts - rows, 0) * OF_DOCUMENT,
    )  # fmt: skip
    write("text_ids", "<i8", 2 * rows, lambda texts: np.where(texts < rows, 2 * texts, 2 * (texts - rows) + 1))
    write("queries", "<i8", rows, lambda places: places)
    write("documents", "<i8", rows, lambda places: places + rows)
    write("document_offsets", "<i8", rows + 1, lambda places: places)
    write("row_tokens", "<i4", rows, lambda places: np.full(len(places), each))
    write("labels", "<f4", rows, lambda places: np.full(len(places), np.nan))
    write("asked", "<i8", rows, lambda places: 2 * places)
    write("answers", "<i8", rows, lambda places: 2 * places + 1)
    write("answer_offsets", "<i8", rows + 1, lambda places: places)
    files = {file.name: {"bytes": file.stat().st_size} for file in sorted(folder.iterdir())}
    write_json(folder / META, {"rows": rows, "files": files})


def read(folder: Path, name: str, rank: str, world: str) -> dict:
    """Open tokens as a training process does, and read its shares of the batches of some steps."""
    from ascent.settings.contrastive import Contrastive
    from ascent.settings.model import Contract
    from ascent.settings.stages import StageSettings
    from ascent.tokens.table import TokenisedPairs
    from ascent.training.data import TrainingData

    stage = Contrastive(objective="infonce", data=["x"], batch_size=BATCH, **SETTINGS[name])
    settings = StageSettings(recipe="r", name="s", stage=stage, contract=Contract(), tasks={"x": "retrieval"})
    with Memory() as memory:
        began = time.perf_counter()
        data = TrainingData({"x": TokenisedPairs(folder / "tokens")}, settings)
        orders = {"numpy": numpy_order, "torch": torch_order}
        batches = orders[name](data) if name in orders else ascent_order(data.schedule())
        found = {"opened s": round(time.perf_counter() - began, 1)}
        for where in ("beginning", "middle", "end"):
            rows = iter(batches(where))
            began = time.perf_counter()
            first = next(rows)
            waited, ordering = time.perf_counter() - began, 0.0
            began, seen = time.perf_counter(), len(first)
            data.batch(first, rank=int(rank), world=int(world))
            while True:
                asked = time.perf_counter()
                following = next(rows, None)
                ordering += time.perf_counter() - asked
                if following is None:
                    break
                seen += data.batch(following, rank=int(rank), world=int(world)).global_rows
            seconds = time.perf_counter() - began
            found[where] = {
                "first s": round(waited, 3), "order": round(seen / ordering), "batches": round(seen / seconds)
            }  # fmt: skip
    return memory.found() | found


def ascent_order(schedule):
    def batches(where: str):
        start = {"beginning": 0, "middle": (len(schedule) - STEPS) // 2, "end": len(schedule) - STEPS}[where]
        return (schedule[step] for step in range(start, start + STEPS))

    return batches


def numpy_order(data):
    order = np.random.default_rng(0).permutation(len(data)).astype(np.uint32)

    def batches(where: str):
        start = {"beginning": 0, "middle": (len(order) - STEPS * BATCH) // 2, "end": len(order) - STEPS * BATCH}[where]
        return (order[start + step * BATCH : start + (step + 1) * BATCH].astype(np.int64) for step in range(STEPS))

    return batches


def torch_order(data):
    from itertools import islice

    import torch
    from torch.utils.data import BatchSampler, RandomSampler

    def batches(where: str):
        sampler = RandomSampler(range(len(data)), generator=torch.Generator().manual_seed(0))
        batched = BatchSampler(sampler, BATCH, drop_last=True)
        start = {"beginning": 0, "middle": (len(batched) - STEPS) // 2, "end": len(batched) - STEPS}[where]
        return (np.array(rows) for rows in islice(batched, start, start + STEPS))

    return batches


# ---------------------------------------------------------------- tokenising


def write_pairs(folder: Path, rows: int) -> None:
    """Write short rows in four files, a third of whose queries and documents repeat others, and a tokenizer."""
    from data import WORDS

    from ascent.pairs.parquet import writing
    from ascent.pairs.table import SCHEMA, Pair, pair_frame
    from ascent.training.streams import uniform

    folder.mkdir()
    write_tokenizer(folder / "model")

    def texts(numbers: np.ndarray, words: int) -> list[str]:
        """Return a text for each number, the same for the same."""
        draws = uniform(numbers.astype(np.uint64)[:, None], np.arange(words)) * len(WORDS)
        return [" ".join(WORDS[place] for place in row) for row in draws.astype(int).tolist()]

    for file in range(4):
        bounds = range(rows * file // 4, rows * (file + 1) // 4)
        with writing(folder / f"pairs-{file}.parquet", SCHEMA) as add:
            for begin in bounds[::10_000]:
                numbers = np.arange(begin, min(begin + 10_000, bounds.stop))
                shown = np.where(numbers % 3, numbers, numbers // 3)
                columns = texts(2 * shown, 8), texts(2 * shown + 1, 16), texts(2 * shown + 3, 16)
                add(pair_frame((Pair(q, p, (n,)) for q, p, n in zip(*columns, strict=True)), "x", "eng-Latn"))


def write_tokenizer(folder: Path) -> None:
    """Write what tokenising reads of a model's folder, with a tokenizer of the words."""
    from data import WORDS
    from tokenizers import Tokenizer, models, pre_tokenizers

    from ascent.files import write_json
    from ascent.model.contract import tokenizer_digest

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "ascent.json", {"tokenizer_digest": tokenizer_digest(tokenizer)})


def tokenise(folder: Path, name: str) -> dict:
    """Tokenise the pairs of a folder."""
    from ascent.settings.model import Tokenising
    from ascent.tokens.tokenise import tokenise_pairs

    settings = Tokenising(query_prompts=["question: "], document_prompts=[""], max_tokens=64)
    folder = folder / name
    pairs = [folder / f"pairs-{file}.parquet" for file in range(4)]
    with Memory() as memory:
        began = time.perf_counter()
        meta = tokenise_pairs(folder / "model", settings, pairs, None, folder / "tokens")
        seconds = time.perf_counter() - began
    return memory.found() | {"rows/s": round(meta["rows"] / seconds), "tokens": meta["tokens"]}


if __name__ == "__main__":
    main()
