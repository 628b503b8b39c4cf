"""The MinHash signatures of a data set's rows, made once for each part and compared by the filter near_duplicate."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from ..settings.measures import Signing
from .draws import number as draw_of
from .minhash import signatures
from .parquet import read_batches, writing
from .table import pair_batches

SCHEMA = pa.schema(
    {
        # Of each side in turn one number of 16 bits, as many times as there are permutations; null if a text has
        # neither letters nor digits, and so is like no other.
        "signature": pa.binary(),
        # A hash of the row's own prompts: with others it is another row.
        "prompts": pa.uint64(),
        # The row's place in the order in which rows are compared, drawn by its texts: the order of files says nothing.
        "draw": pa.uint64(),
    }
)


def sides_of(settings: Signing) -> tuple[str, ...]:
    """Return the columns of a row's texts that are signed."""
    return ("query", "positive") if settings.side == "both" else (settings.side,)


def sign_pairs(settings: Signing, pairs: Path, output: Path) -> None:
    """Write the signature of each row of a part, in order."""
    with writing(output, SCHEMA) as add:
        for _, batch in pair_batches(pairs):
            add(_signed(settings, batch))


def _signed(settings: Signing, pairs: pl.DataFrame) -> pl.DataFrame:
    sides = sides_of(settings)
    numbers = np.zeros((len(pairs), settings.permutations, len(sides)), dtype=np.uint16)
    signed = np.ones(len(pairs), dtype=bool)
    for number, side in enumerate(sides):
        places, matrix = signatures(pairs[side], settings.permutations, settings.shingle)
        numbers[places, :, number] = matrix  # the lower half of each
        signed &= np.isin(np.arange(len(pairs)), places)
    prompts = [
        xxhash.xxh3_64_intdigest(repr(row).encode())
        for row in pairs.select("query_prompt", "document_prompt").iter_rows()
    ]
    rows = [row.tobytes() if is_signed else None for row, is_signed in zip(numbers, signed, strict=True)]
    draws = [draw_of(0, *ids) for ids in pairs.select("query_id", "positive_id").iter_rows()]
    schema = {"signature": pl.Binary, "prompts": pl.UInt64, "draw": pl.UInt64}
    return pl.DataFrame({"signature": rows, "prompts": prompts, "draw": draws}, schema=schema)


def signed_rows(tables: Sequence[Path]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the rows of these tables that have a signature, a batch at a time: their numbers through all tables, int64
    (rows,), their signatures, uint16 (rows, permutations * sides), the hashes of their prompts, and their draws, both
    uint64 (rows,)."""
    start = 0
    for table in tables:
        for batch in read_batches(table, SCHEMA, {"signature"}):
            signed = batch.with_columns(row=pl.int_range(start, start + pl.len(), dtype=pl.Int64)).drop_nulls()
            start += len(batch)
            if len(signed):
                prompts, draws = signed["prompts"].to_numpy(), signed["draw"].to_numpy()
                yield signed["row"].to_numpy(), matrix_of(signed["signature"]), prompts, draws


def matrix_of(signatures: pl.Series) -> np.ndarray:
    """Return signatures as they were: uint16 (rows, permutations * sides)."""
    return np.frombuffer(b"".join(signatures.to_list()), dtype=np.uint16).reshape(len(signatures), -1)
