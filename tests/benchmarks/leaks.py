"""Speed and memory of the leak ledger: rows per second of each method, and peak memory against rows.

    python tests/benchmarks/leaks.py --rows 1000000 --tested 200000 --method ngram

A row is a question of about 10 words and a passage of about 60, a tested text one or the other, of words as frequent as
in English (Zipf's law). One tested text of a hundred is planted in the rows, with one word in twenty exchanged."""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

_BATCH, _WORDS, _PLANTED, _EXCHANGED = 50_000, 50_000, 100, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tested", type=int, default=200_000, help="tested texts: half questions, half passages")
    parser.add_argument("--method", choices=("hash", "ngram", "near_duplicate"), default="ngram")
    options = parser.parse_args()

    from ascent.pairs.ledger import make_ledger, trained_on
    from ascent.pairs.tested import Table, TestedTexts
    from ascent.settings.leaks import Leaks

    with TemporaryDirectory() as name:
        folder = Path(name)
        # By a process of its own, whose memory does not count.
        made = get_context("spawn").Process(target=_write, args=(folder, options.rows, options.tested))
        made.start()
        made.join()
        files = sorted(folder.glob("rows-*.parquet"))
        ignored = {
            name: {"test": "ignore", "documents": "ignore"} for name in Leaks.model_fields if name != options.method
        }
        leaks = Leaks(**ignored, **{options.method: {"test": "report"}})
        before, begun = _peak(), time.process_time()
        batches = (pl.read_parquet(file)["text"] for file in sorted(folder.glob("tested-*.parquet")))
        tested = TestedTexts.written(folder / "tested.arrow", [(Table("task", "test"), batches)])
        entries = make_ledger(trained_on(files), tested, leaks)
        spent = time.process_time() - begun
    found = entries[0].rows if entries else 0
    print(
        f"{options.method}: {options.rows:,} rows, {options.tested:,} tested texts: {spent:.0f} s of CPU, "
        f"{options.rows / spent:,.0f} rows/s, {_peak() - before} MB beside {before}; {found:,} rows found, "
        f"{options.tested // _PLANTED:,} planted"
    )


def _write(folder: Path, rows: int, tested: int) -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 9, _WORDS)
    letters = "".join(draw.choice(list("etaoinshrdlucmfwypvbgkjqxz"), lengths.sum()))
    words = np.array([letters[end - length : end] for end, length in zip(np.cumsum(lengths), lengths, strict=True)])
    planted = []
    for number, length in enumerate((10, 60)):
        texts = list(_texts(draw, words, tested // 2, length))
        planted += [_exchanged(draw, words, text) for text in texts[::_PLANTED]]
        for at in range(0, len(texts), _BATCH):
            pl.DataFrame({"text": texts[at : at + _BATCH]}).write_parquet(folder / f"tested-{number}-{at:09}.parquet")
    for number, batch in enumerate(_rows(draw, words, rows, planted)):
        batch.write_parquet(folder / f"rows-{number:05}.parquet")


def _texts(draw: np.random.Generator, words: np.ndarray, count: int, length: int) -> Iterator[str]:
    """Yield texts of about so many words."""
    lengths = draw.integers(length // 2, length * 3 // 2, count)
    for at in range(0, count, _BATCH):
        here = lengths[at : at + _BATCH]
        # Frequencies of rank r are proportional to 1 / r.
        drawn = words[(_WORDS ** draw.random(here.sum())).astype(int) - 1]
        for end, size in zip(np.cumsum(here), here, strict=True):
            yield " ".join(drawn[end - size : end])


def _rows(draw: np.random.Generator, words: np.ndarray, count: int, planted: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows, with planted texts as the positives of the first."""
    for at in range(0, count, _BATCH):
        size = min(_BATCH, count - at)
        passages = [*planted[at : at + size], *_texts(draw, words, size - len(planted[at : at + size]), 60)]
        rows = {"query": list(_texts(draw, words, size, 10)), "positive": passages, "negatives": [[]] * size}
        frame = pl.DataFrame(rows, schema={"query": pl.String, "positive": pl.String, "negatives": pl.List(pl.String)})
        yield frame.with_columns(dataset=pl.lit("web"))


def _exchanged(draw: np.random.Generator, words: np.ndarray, text: str) -> str:
    parts = text.split()
    return " ".join(draw.choice(words) if draw.random() < _EXCHANGED else word for word in parts)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
