"""The tokens of a data set's distinct texts, written as they occur first."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from tokenizers import Tokenizer

from ..errors import AscentError
from ..model.prompt_checks import with_prompt
from ..pairs.arrays import Offsets, growing
from ..pairs.distinct import count_distinct, new_texts, writing_keys, writing_numbers
from ..pairs.prompts import COLUMNS
from ..pairs.text import text_id
from ..settings.model import Tokenising
from ..settings.prompts import Side
from .rows import PLACES, Rows

# Texts that are read, hashed and written together: at most this many, of this many bytes.
CHUNK_TEXTS = 10_000
CHUNK_BYTES = 8_000_000
# Of these, texts tokenised at a time. The library keeps about a hundred bytes per token, and more at a time are slower.
_TOKENISED = 100
_HASHES = pa.schema({"hash": pa.int64()})


def write_texts(
    folder: Path,
    scratch: Path,
    tokenizer: Tokenizer,
    settings: Tokenising,
    rows: Rows,
    places: dict[Side, np.ndarray],
    left_out: Callable[[Side, str], int] | None,
    *,
    plain: bool,
) -> dict:
    """Write the tokens of each distinct text, where they begin, the text's id and how many of its tokens pooling leaves
    out; return the counts of meta.json.

    places: of each text of a side among the distinct ones. left_out: by side and prompt. plain: whether to write the
    keys of the texts without their prompts, too, for copy_embeddings. Raises AscentError if a prompt that pooling
    leaves out leaves nothing of a text."""
    texts, alike = {}, {}
    cut, prompted = Counter(dict.fromkeys(COLUMNS, 0)), Counter(dict.fromkeys(COLUMNS, 0))
    with ExitStack() as open_files:
        tokens = open_files.enter_context(growing(folder / "tokens.npy", "<i4"))
        offsets = Offsets(open_files.enter_context(growing(folder / "offsets.npy", "<i8")))
        ids = open_files.enter_context(growing(folder / "text_ids.npy", "<i8"))
        starts = open_files.enter_context(growing(folder / "prompt_lengths.npy", "<i4")) if left_out else None
        for side, of_side in places.items():
            tokenizer.enable_truncation(getattr(settings.max_tokens, side), direction=tokenizer.truncation["direction"])
            texts[side], hashes = 0, scratch / f"{side}-hashes.parquet"
            with ExitStack() as of_this:
                write_hashes = of_this.enter_context(writing_numbers(hashes, _HASHES))
                write_keys = of_this.enter_context(writing_keys(plain_keys(scratch, side))) if plain else None
                for part in _first_occurrences(rows, side, of_side):
                    texts[side] += len(part)
                    prompted[side] += with_prompt(part)
                    prompts, plains = part["prompt"].to_list(), part["text"].to_list()
                    whole = [prompt + text for prompt, text in zip(prompts, plains, strict=True)]
                    found, counts, longer = _tokenise(tokenizer, whole)
                    if left_out:
                        lengths = np.array([left_out(side, prompt) for prompt in prompts], dtype=np.int32)
                        _refuse_empty(rows, whole, counts, lengths)
                        starts.add(lengths)
                    # The tokens' hashes, since they themselves might not fit into memory.
                    each = np.split(found, np.cumsum(counts)[:-1])
                    write_hashes(np.fromiter((hash(row.tobytes()) for row in each), np.int64, len(each)))
                    if write_keys:
                        write_keys(plains)
                    tokens.add(found)
                    offsets.add(counts)
                    ids.add(np.fromiter(map(_number, plains), np.int64, len(plains)))
                    cut[side] += longer
            alike[side] = texts[side] - count_distinct(hashes, "hash", scratch)
    return {
        "texts": texts,
        "texts_cut": dict(cut),
        "texts_alike": alike,
        "texts_with_prompt": dict(prompted),
        "tokens": tokens.length,
    }


def plain_keys(scratch: Path, side: Side) -> Path:
    """Return the table of the keys of a side's distinct texts without their prompts."""
    return scratch / f"{side}-plain-keys.parquet"


def _first_occurrences(rows: Rows, side: Side, places: np.ndarray) -> Iterator[pl.DataFrame]:
    """Yield the distinct texts of a side with their prompts, in order of first occurrence, a chunk at a time."""
    begin = number = 0
    for place in rows.places:
        if PLACES[place] == side:
            for texts in rows.texts(place):
                new = texts.filter(pl.Series(new_texts(places[begin : begin + len(texts)], number)))
                begin, number = begin + len(texts), number + len(new)
                yield from (new[part] for part in _chunks(new["text"]))


def _refuse_empty(rows: Rows, texts: list[str], counts: np.ndarray, left_out: np.ndarray) -> None:
    if len(nothing := np.flatnonzero((left_out > 0) & (counts <= left_out))):
        raise AscentError(
            f"{rows.name}: the prompt alone has as many tokens as {texts[nothing[0]][:60]!r}, which leaves none to"
            " pool; end the prompt with something other than a space, or set pool_prompt: true."
        )


def _chunks(texts: pl.Series) -> Iterator[slice]:
    ends = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        end = min(start + CHUNK_TEXTS, max(start + 1, int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))))
        yield slice(start, end)
        start = end


def _tokenise(tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the texts' tokens in one row (int32), each text's number of tokens (int64), and how many texts were
    truncated."""
    longest, tokens, lengths, truncated = tokenizer.truncation["max_length"], [], [], 0
    for begin in range(0, len(texts), _TOKENISED):
        for one in tokenizer.encode_batch_fast(texts[begin : begin + _TOKENISED]):
            tokens.append(np.array(one.ids, dtype=np.int32))
            lengths.append(len(tokens[-1]))
            truncated += lengths[-1] == longest and bool(one.overflowing)
    return np.concatenate(tokens), np.array(lengths, dtype=np.int64), truncated


def _number(text: str) -> int:
    """Return a text's id as a number: 60 bits, since collectives carry int64."""
    return int(text_id(text)[:15], 16)
