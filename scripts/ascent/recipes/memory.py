"""What a job asks for whose memory follows its inputs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

# MB that it needs for everything but weights, or numbers.
BESIDE = 8_000
# Bytes that mining holds, at most, for each document and each pair: keys, rows and places, and copies while it sorts
# them (negatives/documents.py, negatives/ranking.py).
PER_DOCUMENT, PER_PAIR = 64, 108


def memory_mb(folders: Sequence[str], *, first: int, copies: float) -> int:
    """Return MB for a job that holds the weights in these folders `copies` times, counted as their files are; at least
    `first`.

    Raises FileNotFoundError for a folder that an earlier job has yet to make: Snakemake then asks again before the job.
    """
    files = [file for folder in folders for file in os.scandir(folder)]
    weights = sum(file.stat().st_size for file in files if file.name.endswith(".safetensors"))
    return max(first, BESIDE + int(copies * weights / 1e6))


def mining_mb(fingerprints: Sequence[str], pairs: Sequence[str], *, first: int) -> int:
    """Return MB for mining negatives of these pairs among the documents of these shards; at least `first`.

    fingerprints: of all shards (negatives/shards.py). Raises FileNotFoundError like memory_mb.
    """
    for path in pairs:
        Path(path).stat()  # pyarrow's own error does not name the file
    contents = [content for path in fingerprints for content in json.loads(Path(path).read_text()).items()]
    documents = sum(
        content["rows"] for name, content in contents if name.startswith("documents-") and name.endswith(".ids.npy")
    )
    from ..pairs.table import count_pairs  # polars takes a second, and not before all of this is there

    return max(first, BESIDE + int(numbers_of_mining(documents, count_pairs(pairs)) / 1e6))


def numbers_of_mining(documents: float, pairs: float) -> float:
    """Return the bytes of numbers that mining holds at most."""
    return PER_DOCUMENT * documents + PER_PAIR * pairs
