"""Rows of files of this machine that no job has read yet: their beginnings, read as the corpus's step does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ..corpora.normalise import normalise
from ..corpora.readers import matching_files
from ..settings.corpora import Corpus
from ..settings.tables import COMPRESSED, Reader, Table, format_of

# Bytes of a corpus's files that are read, a few seconds' work; and of each file, if it has as many.
MOST, LEAST = 20_000_000, 65_536
# Formats of which the first rows are a file.
_CUT = {".jsonl", ".csv", ".tsv", ".parquet"}
_KEYS = ("pairs", "documents")


@dataclass(frozen=True, kw_only=True)
class LocalRows:
    """A corpus's pairs and documents of one split, as normalise writes them, and how many each of them stands for, by
    the bytes of the files."""

    pairs: pl.DataFrame
    documents: pl.DataFrame
    times: float


def can_be_read(reader: Reader, files: Mapping[str, Path]) -> bool:
    """Whether a plan reads a corpus's local files: small ones, and larger tables in formats of which it reads the
    beginning."""
    small = sum(path.stat().st_size for path in files.values()) <= MOST
    return small or (isinstance(reader, Table) and {format_of(path) for path in files.values()} <= _CUT)


def read_local(name: str, corpus: Corpus, split: str, files: Mapping[str, Path], tokenizer: Path | None) -> LocalRows:
    """Return a corpus's rows of a split, or those in about the first MOST bytes of its files.

    files: by the names that its reader knows them by. Raises AscentError as normalise does."""
    with TemporaryDirectory() as scratch:
        whole, cut = Path(scratch, "whole"), Path(scratch, "cut")
        for file, path in files.items():
            _link(path, whole / file)
        reader, used = corpus.reader, list(files)
        if isinstance(reader, Table):
            own = {key: {of: each for of, each in getattr(reader, key).items() if of == split} for key in _KEYS}
            reader = reader.model_copy(update=own)
            patterns = [pattern for key in _KEYS for pattern in own[key].get(split, [])]
            found = {path for pattern in patterns for path in matching_files(whole, pattern)}
            used = sorted(path.relative_to(whole).as_posix() for path in found)
        total = sum(files[file].stat().st_size for file in used)
        read = sum(_beginning(files[file], min(1.0, MOST / total), cut / file) for file in used)
        tables = [Path(scratch, f"{kind}.parquet") for kind in ("pairs", "documents", "set_aside")]
        normalise(name, corpus.model_copy(update={"reader": reader}), cut, *tables, tokenizer=tokenizer)
        pairs, documents = map(pl.read_parquet, tables[:2])
    return LocalRows(pairs=pairs, documents=documents, times=total / read)


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(path.resolve())


def _beginning(path: Path, share: float, target: Path) -> int:
    """Write a file of the rows in about this share of a file; return how many of its bytes those are."""
    size = path.stat().st_size
    most = max(LEAST, round(size * share))
    if share < 1 and format_of(path) == ".parquet" and path.suffix == ".parquet":
        return _first_rows(path, most / size, target)
    if most < size and format_of(path) in _CUT and (text := _whole_lines(path, most)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with pa.output_stream(target, compression="detect") as file:
            file.write(text)
        return most
    _link(path, target)
    return size


def _first_rows(path: Path, share: float, target: Path) -> int:
    file = pq.ParquetFile(path)
    rows = next(file.iter_batches(batch_size=max(1, round(file.metadata.num_rows * share))), None)
    if rows is None or len(rows) == file.metadata.num_rows:
        _link(path, target)
        return path.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([rows]), target)
    return round(path.stat().st_size * len(rows) / file.metadata.num_rows)


def _whole_lines(path: Path, size: int) -> bytes:
    """Return the whole rows in the first bytes of a file of lines, decompressed; none if there is no whole one."""
    with path.open("rb") as file:
        head = file.read(size)
    text = _decompressed(head, pa.Codec.detect(path).name) if path.suffix in COMPRESSED.values() else head
    end = text.rfind(b"\n") + 1
    # In csv a line may end within a cell, which is quoted.
    while format_of(path) == ".csv" and text.count(b'"', 0, end) % 2:
        end = text.rfind(b"\n", 0, end - 1) + 1
    return text[:end]


def _decompressed(head: bytes, codec: str) -> bytes:
    """Return what the beginning of a compressed file holds."""
    parts = []
    with pa.CompressedInputStream(pa.BufferReader(head), codec) as stream:
        try:
            while part := stream.read(4096):
                parts.append(part)
        except OSError:  # it breaks off
            pass
    return b"".join(parts)
