"""A corpus's documents, embedded to be mined in."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ..files import scratch_in, write_json
from ..pairs.draws import number
from ..pairs.earlier import count_rows
from ..pairs.filters import Context
from ..pairs.filters.contamination import judge
from ..pairs.parquet import read_batches, writing
from ..pairs.table import DOCUMENT_SCHEMA
from ..settings.negatives import PoolEncoding
from .shards import TOGETHER, embed, kind_of, shard_name
from .shares import SHARE_SCHEMA, Share


def encode_pool(
    encoder,
    documents: Path,
    settings: PoolEncoding,
    against: pl.DataFrame,
    share: tuple[int, int],
    shard: tuple[int, int],
    folder: Path,
) -> dict[str, int]:
    """Embed a share (which of how many equal ones) of a part of a corpus's documents, in their order, and write it as a
    shard (which of how many of the corpus) into a folder, with its fingerprint.

    against: rows of the corpora and tasks that `settings.without` names. Return how many documents are left out, by
    reason."""
    with scratch_in(folder) as scratch:
        texts, left_out = _write_share(documents, settings, against, *share, scratch / "documents.parquet")
        stem = folder / shard_name("documents", *shard)
        written = embed(encoder, texts.batches(TOGETHER), texts.rows, settings.max_tokens, stem, "documents")
    write_json(folder / f"{shard_name('fingerprint', *shard)}.json", kind_of(encoder, settings) | written)
    return left_out


def _write_share(
    documents: Path, settings: PoolEncoding, against: pl.DataFrame, index: int, count: int, file: Path
) -> tuple[Share, dict[str, int]]:
    context, rows, left_out = Context(positive="given", against=against), 0, {}
    with writing(file, SHARE_SCHEMA) as add:
        for batch in _share_of(documents, settings.split, index, count):
            if settings.without:
                no_others = pl.lit([], pl.List(pl.String))
                sides = batch.select("document_id", "text", query="text", positive="text", negatives=no_others)
                judged = judge(sides, settings.without, context)
                for reason, dropped in judged["reason"].drop_nulls().value_counts().iter_rows():
                    left_out[reason] = left_out.get(reason, 0) + dropped
                batch = judged.filter(pl.col("reason").is_null())
            ids, prompts = batch["document_id"].to_list(), settings.prompts
            drawn = [prompts[number(settings.seed, id) % len(prompts)] for id in ids]
            places = pl.int_range(rows, rows + len(batch), eager=True)
            add(batch.select(place=places, id="document_id", text="text", prompt=pl.Series(drawn, dtype=pl.String)))
            rows += len(batch)
    return Share(file, rows), left_out


def _share_of(documents: Path, split: str, index: int, count: int) -> Iterator[pl.DataFrame]:
    total, start = count_rows([documents], split=split), 0
    begin, end = (total * i // count for i in (index, index + 1))
    for batch in read_batches(documents, DOCUMENT_SCHEMA, {"origin"}, {"origin"}):
        own = batch.filter(pl.col("split") == split)
        yield own[max(0, begin - start) : max(0, end - start)]
        start += len(own)
