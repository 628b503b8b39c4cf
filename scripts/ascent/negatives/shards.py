"""Embedding shards: a data set's distinct queries and documents, embedded in parts, each with a fingerprint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AscentError
from ..files import digest_of, read_json, sha256_file, write_atomically, write_json
from ..pairs.parquet import Table
from ..pairs.prompts import COLUMNS, with_prompts
from ..pairs.table import read_pairs
from ..settings.model import Tokenising

SIDES = {"queries": ("query", "query_id", "query"), "documents": ("document", "positive_id", "positive")}


def shard_name(side: str, index: int, count: int) -> str:
    """Return a shard's file name without suffix: `documents-00000-of-00008`."""
    return f"{side}-{index:05d}-of-{count:05d}"


def encode_shard(encoder, pairs: Table, settings: Tokenising, index: int, count: int, folder: Path) -> dict[str, int]:
    """Embed shard `index` of `count` of a data set, and write its arrays, their ids and its fingerprint into `folder`.

    A shard holds the index-th of `count` equal parts of the texts, sorted by id. A text is embedded once, with the
    prompt of the first row that has it. Return how many texts of each side have several prompts."""
    table, several = with_prompts(read_pairs(pairs), settings), {}
    fingerprint = {
        "weights_digest": encoder.digest,
        "contract_digest": digest_of(encoder.contract.model_dump(mode="json")),
        "tokenising_digest": digest_of(settings.model_dump(mode="json")),
    }
    for name, (side, id_column, text_column) in SIDES.items():
        prompted = table.select(id_column, text_column, COLUMNS[side])
        texts = prompted.unique(id_column, keep="first", maintain_order=True).sort(id_column)
        several[side] = prompted.n_unique([id_column, COLUMNS[side]]) - len(texts)
        start, end = (len(texts) * i // count for i in (index, index + 1))
        part = texts[start:end]
        prompts, longest = part[COLUMNS[side]].to_list(), getattr(settings.max_tokens, side)
        embeddings = encoder.encode_with(prompts, part[text_column].to_list(), longest=longest, progress=name)
        ids = np.array(part[id_column].to_list(), dtype="S32")
        stem = shard_name(name, index, count)
        for suffix, array in ((".npy", embeddings), (".ids.npy", ids)):
            with write_atomically(folder / f"{stem}{suffix}") as temporary:
                np.save(temporary, array)
            fingerprint[f"{stem}{suffix}"] = {"rows": len(array), "sha256": sha256_file(folder / f"{stem}{suffix}")}
    write_json(folder / f"{shard_name('fingerprint', index, count)}.json", fingerprint)
    return several


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of one data set by one model. Arrays are memory-mapped; embeddings are float32 (rows, dimension)."""

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
