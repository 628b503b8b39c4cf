"""Rows per second of each filter that judges a row alone, and of each augmentation, with the defaults, one thread.

    POLARS_MAX_THREADS=1 python tests/benchmarks/filters.py --rows 20000
    POLARS_MAX_THREADS=1 python tests/benchmarks/filters.py --texts FILE

The texts are cut to 200 characters: the documentation of Python's standard library, or a file of UTF-8 text. Query and
positive are texts of the same length, so a row is 400 characters."""

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "scripts"), str(Path(__file__).parents[1])]

FILTERS = ("words", "symbols", "repetition", "overlap", "language", "clean")
AUGMENTATIONS = ("crop", "word_deletion", "word_swap", "character_noise")
LANGUAGES = ["eng-Latn", "zho-Hans"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--characters", type=int, default=200)
    parser.add_argument("--texts", type=Path, help="a file of text; default: Python's documentation")
    parser.add_argument("--tokenizer", type=Path, help="a model's folder, for the filter tokens")
    options = parser.parse_args()

    import polars as pl

    from ascent.components import module_of
    from ascent.pairs.augmenting import augment
    from ascent.pairs.filters import Context
    from ascent.pairs.table import Pair, pair_frame
    from ascent.settings.augmentations import OneAugmentation
    from ascent.settings.filters import OneFilter
    from support.small_recipe import corpus_rows

    text = options.texts.read_text() if options.texts else "\n".join(row["positive"] for row in corpus_rows(10_000))
    text = " ".join(text.split())
    size, count = options.characters, len(text) // options.characters
    cut = [text[place * size : (place + 1) * size] for place in range(count)]
    rows = [Pair(cut[row % count], cut[(row + 1) % count]) for row in range(options.rows)]
    pairs = pair_frame(rows, "texts", "eng-Latn")
    context = Context(positive="given", against=pl.DataFrame(), models={"m": options.tokenizer})
    print(f"{len(pairs)} rows of two texts of {size} characters, {count} distinct")
    for name in [*FILTERS, *(["tokens"] if options.tokenizer else [])]:
        given = {"tokens": {"model": "m"}, "repetition": {"min_words": 20}, "language": {"languages": LANGUAGES}}.get(
            name, {}
        )
        settings = OneFilter(**{name: given}).settings
        module_of(settings).judge(pairs.head(100), settings, context)
        begun = time.process_time()
        judged = module_of(settings).judge(pairs, settings, context)
        rate = len(pairs) / (time.process_time() - begun)
        print(
            f"{name:12} {rate:10,.0f} rows/s, {2 * rate:10,.0f} texts/s "
            f" {dict(judged['reason'].value_counts().iter_rows())}"
        )
    for name in AUGMENTATIONS:
        chosen = OneAugmentation(**{name: {}})
        begun = time.process_time()
        augment(pairs, [chosen])
        print(f"{name:16} {len(pairs) / (time.process_time() - begun):10,.0f} rows/s, the query altered")


if __name__ == "__main__":
    main()
