"""Embedding shards: distinct texts, embedded in parts, each with a fingerprint."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..files import digest_of, read_json, scratch_in, sha256_file, write_atomically, write_json
from ..pairs.parquet import Table
from ..progress import PATIENCE, Progress
from ..settings.base import Settings
from ..settings.model import Tokenising
from .shares import SIDES, write_shares

# Texts in memory at a time, as many as an encoder tokenises together.
TOGETHER = 100_000


def shard_name(side: str, index: int, count: int) -> str:
    """Return a shard's file name without suffix: `documents-00000-of-00008`."""
    return f"{side}-{index:05d}-of-{count:05d}"


def encode_shard(encoder, pairs: Table, settings: Tokenising, index: int, count: int, folder: Path) -> dict[str, int]:
    """Embed shard `index` of `count` of a data set's queries and documents, and write its arrays, their ids and its
    fingerprint into `folder`.

    See shares.py for what is in a shard. Return for the first one how many texts of each side have several prompts."""
    fingerprint = kind_of(encoder, settings)
    with scratch_in(folder) as scratch:
        shares, several = write_shares(pairs, settings, index, count, scratch)
        for name, (side, _, _) in SIDES.items():
            longest = getattr(settings.max_tokens, side)
            stem = folder / shard_name(name, index, count)
            fingerprint |= embed(encoder, shares[name].batches(TOGETHER), shares[name].rows, longest, stem, name)
    write_json(folder / f"{shard_name('fingerprint', index, count)}.json", fingerprint)
    return several


def kind_of(encoder, settings: Settings) -> dict[str, str]:
    """Return what all shards must have in common."""
    return {
        "weights_digest": encoder.digest,
        "contract_digest": digest_of(encoder.contract.model_dump(mode="json")),
        "tokenising_digest": digest_of(settings.model_dump(mode="json")),
    }


def embed(encoder, batches: Iterator[pl.DataFrame], rows: int, longest: int, stem: Path, name: str) -> dict[str, dict]:
    """Write the embeddings and ids of `rows` texts in batches of id, text and prompt; return their fingerprints."""
    embeddings, ids = stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}.ids.npy")
    with ExitStack() as stack:
        to_embeddings, to_ids = (
            stack.enter_context(stack.enter_context(write_atomically(path)).open("wb")) for path in (embeddings, ids)
        )
        shown = stack.enter_context(Progress(name, rows, "text", patience=PATIENCE))
        for number, batch in enumerate(batches):
            texts = batch["text"].to_list()
            vectors = encoder.encode_with(batch["prompt"].to_list(), texts, longest=longest, progress=shown)
            for file, array in ((to_embeddings, vectors), (to_ids, np.array(batch["id"].to_list(), dtype="S32"))):
                if number == 0:
                    header = np.lib.format.header_data_from_array_1_0(array)
                    header["shape"] = (rows, *array.shape[1:])
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(array).tobytes())
    return {path.name: {"rows": rows, "sha256": sha256_file(path)} for path in (embeddings, ids)}


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of one table by one model. Arrays are memory-mapped; embeddings are float32 (rows, dimension)."""

    folder: Path
    count: int
    weights_digest: str

    def parts(self, side: str) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Return (ids, embeddings) of each shard of `queries` or `documents`, in order."""
        return [
            tuple(
                np.load(self.folder / f"{shard_name(side, i, self.count)}{suffix}", mmap_mode="r")
                for suffix in (".ids.npy", ".npy")
            )
            for i in range(self.count)
        ]


def open_shards(folder: Path, count: int) -> Shards:
    """Open a data set's shards.

    Raises AscentError if one is missing or damaged, or if they do not all come from one model and one contract.
    """
    kinds: dict[tuple, Path] = {}
    for index in range(count):
        path = folder / f"{shard_name('fingerprint', index, count)}.json"
        fingerprint = read_json(path)
        kinds[(fingerprint["weights_digest"], fingerprint["contract_digest"], fingerprint["tokenising_digest"])] = path
        for name, content in fingerprint.items():
            if not isinstance(content, dict):
                continue
            file = folder / name
            if not file.exists() or sha256_file(file) != content["sha256"]:
                raise AscentError(f"{file}: the shard is missing, truncated or changed; delete {folder} and re-run.")
    if len(kinds) > 1:
        raise AscentError(
            f"{folder}: shards of {len(kinds)} kinds lie here ({', '.join(str(path.name) for path in kinds.values())}"
            " differ in model, prompts or lengths); delete the folder and re-run."
        )
    ((weights, _, _),) = kinds
    return Shards(folder=folder, count=count, weights_digest=weights)
