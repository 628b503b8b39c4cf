"""Speed and memory of extraction: MB of text per second of each extractor of documents, and memory of those that need
other rows.

    python tests/benchmarks/extraction.py --megabytes 10
    python tests/benchmarks/extraction.py --rows 1000000 --extractor nli_triples

The documents are the topics of Python's `help()`, each with a number of its own, cut into passages of 1,000 characters.
The rows have two texts of 100 characters, three to a premise, or one of 100 classes."""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from pydoc_data.topics import topics

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

OF_DOCUMENTS = (
    "whole_text",
    "title_body",
    "heading_section",
    "question_answer",
    "query_context",
    "neighbouring_passages",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=10, help="of text, for each extractor of documents")
    parser.add_argument("--rows", type=int, help="rows for the extractor that is named")
    parser.add_argument("--extractor", choices=("nli_triples", "same_class_pairs"), default="nli_triples")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json: passages of 256 of its tokens")
    options = parser.parse_args()

    from ascent.corpora.extraction import Extraction
    from ascent.settings.corpora import Reading
    from ascent.settings.validation import check

    def extraction(*names: str) -> Extraction:
        given = {
            "reader": {"type": "text", "documents": {"train": ["*"]}},
            "language": "eng-Latn",
            "extract": list(names),
        }
        passages = {"characters": 1000, "overlap": 100}
        if options.tokenizer:
            passages = {"tokens": 256, "overlap": 32, "tokenizer": str(options.tokenizer)}
        return Extraction(check(Reading, given | {"passages": passages}, "the.yaml"), options.tokenizer)

    if options.rows:
        before, begun = _peak(), time.process_time()
        extracted = extraction(options.extractor)
        count = sum(1 for _ in extracted.rows(_rows(options.rows, options.extractor)))
        rate = options.rows / (time.process_time() - begun)
        print(
            f"{options.extractor}: {options.rows} rows, {count} pairs, {rate:,.0f} rows/s, {_peak() - before} MB beside"
            f" {before}"
        )
        return
    for names in [(), *((name,) for name in OF_DOCUMENTS)]:
        documents = list(_documents(options.megabytes * 1_000_000))
        begun = time.process_time()
        count = sum(1 for _ in extraction(*names).rows(documents))
        rate = options.megabytes / (time.process_time() - begun)
        print(
            f"{names[0] if names else 'passages alone':22} {rate:6.1f} MB/s  {count} rows of {len(documents)} documents"
        )


def _documents(size: int) -> Iterator:
    from ascent.pairs.table import Document

    for number, text in enumerate(cycle(topics.values())):
        if size < 0:
            return
        size -= len(text)
        yield Document(f"{text}\n\nNumber {number}.", "train", origin=str(number))


def _rows(count: int, extractor: str) -> Iterator:
    from ascent.pairs.table import Pair

    for number in range(count):
        if extractor == "nli_triples":
            yield Pair(f"premise {number // 3:090}", f"hypothesis {number:090}", label=float(number % 3), task="sts")
        else:
            yield Pair(f"text {number:090}", f"class {number * 7919 % 100}", task="classification")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
