"""What a job asks for that loads models."""

import os
from collections.abc import Sequence

# MB that it needs for everything but weights.
BESIDE = 8_000


def memory_mb(folders: Sequence[str], *, first: int, copies: float) -> int:
    """Return MB for a job that holds the weights in these folders `copies` times, counted as their files are; at least
    `first`.

    Raises FileNotFoundError for a folder that an earlier job has yet to make: Snakemake then asks again before the job.
    """
    files = [file for folder in folders for file in os.scandir(folder)]
    weights = sum(file.stat().st_size for file in files if file.name.endswith(".safetensors"))
    return max(first, BESIDE + int(copies * weights / 1e6))
