"""A data set's texts as tokens, in plain arrays that are mapped into memory: made once on a CPU, read by all training processes.

A folder of .npy files and meta.json. There are T texts, the distinct queries and then the distinct documents, each with the
prompt of its side; R rows, each with a query, a positive and its negatives; Q distinct queries.

    tokens            int32 (all tokens)         the texts' tokens, one text after another
    offsets           int64 (T + 1)              text t has tokens[offsets[t]:offsets[t + 1]]
    text_ids          int64 (T)                  equal where the texts are equal
    queries           int64 (R)                  the text of each row's query
    documents         int64 (all documents)      the texts of each row's positive and negatives, one row after another
    document_offsets  int64 (R + 1)              row r has documents[document_offsets[r]:document_offsets[r + 1]]
    row_tokens        int32 (R)                  tokens of each row's texts together
    labels            float32 (R)                the score of a graded row, else NaN
    teacher_scores    float32 (all documents)    the teacher's score of each document for its row's query, if the stage
                                                 learns scores
    teacher_embeddings  float16 (T, dimension)   the teacher's embedding of each text, if the stage learns embeddings
    asked             int64 (Q)                  the ids of the queries, ascending
    answers           int64 (all answers)        ids of the positives of each of these queries, one query after another
    answer_offsets    int64 (Q + 1)              query q has answers[answer_offsets[q]:answer_offsets[q + 1]]
    reserve           int64 (whole reserve)      the texts of each row's reserve, one row after another, if mining keeps one
    reserve_offsets   int64 (R + 1)              row r has reserve[reserve_offsets[r]:reserve_offsets[r + 1]]

Nothing here imports torch: that would take longer than tokenising a small data set.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..files import folder_atomically, read_json, sha256_file, write_json
from ..model.contract import tokenizer_digest
from ..model.prompt_checks import refuse_long_prompts, with_prompt
from ..negatives.table import training_rows
from ..pairs.table import distinct_texts
from ..pairs.text import text_id
from ..settings.model import Tokenising
from ..teachers.outputs import embeddings_file, read_scores, stored_scores
from .table import META

# Texts tokenised at a time: at most this many, of this many bytes. The library keeps about a hundred bytes per token.
CHUNK_TEXTS = 10_000
CHUNK_BYTES = 8_000_000


def tokenise_pairs(
    model: Path,
    settings: Tokenising,
    pairs: Path,
    negatives: Path | None,
    output: Path,
    *,
    scores: Path | None = None,
    embeddings: Path | None = None,
) -> dict:
    """Write a data set's tokens; return the contents of meta.json.

    model: a model folder with the tokenizer.
    negatives: mined ones, which replace the rows' own.
    scores, embeddings: a teacher's, by score_with_teacher and embed_with_teacher; `pairs` again for scores that came with them.

    Raises AscentError if any of these was made for other pairs, if a prompt fills most of the tokens, if one that pooling
    leaves out leaves nothing of a text, and as read_pairs does.
    """
    tokenizer, digest = load_tokenizer(model, settings.max_tokens.longest)
    for side, prompt in settings.prompts.items():
        refuse_long_prompts([prompt], tokenizer, getattr(settings.max_tokens, side), model)
    rows, prompt_lengths = training_rows(pairs, negatives), _prompt_lengths(model, settings)
    texts, places = _distinct(rows)
    with folder_atomically(output) as folder:
        with (folder / "tokens.npy").open("wb") as file:
            lengths, truncated, alike = _write_tokens(file, tokenizer, texts, settings, prompt_lengths, pairs)
        arrays = places | _arrays(rows, texts, places, lengths)
        if scores:
            arrays["teacher_scores"] = stored_scores(pairs, rows) if scores == pairs else read_scores(scores, rows)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        if embeddings:
            shutil.copyfile(embeddings_file(embeddings, pairs, negatives), folder / "teacher_embeddings.npy")
        meta = {
            "settings": settings.model_dump(mode="json"),
            "tokenizer_digest": digest,
            "pairs": sha256_file(pairs),
            "negatives": sha256_file(negatives) if negatives else None,
            **({"teacher_scores": sha256_file(scores)} if scores else {}),
            "prompt_lengths": prompt_lengths,
            "rows": len(rows),
            "texts": {side: len(distinct) for side, distinct in texts.items()},
            "texts_cut": truncated,
            "texts_alike": alike,
            "texts_with_prompt": {side: with_prompt(texts[side], prompt) for side, prompt in settings.prompts.items()},
            "tokens": int(lengths.sum()),
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)} for file in sorted(folder.iterdir())
            },
        }
        write_json(folder / META, meta)
    return meta


def _distinct(rows: pl.DataFrame) -> tuple[dict[str, pl.Series], dict[str, np.ndarray]]:
    """Return the distinct texts of each side, and the arrays that say where they occur: queries, documents, reserve."""
    queries, query_places = distinct_texts(rows["query"])
    listed = {"documents": rows.select(pl.concat_list("positive", "negatives")).to_series()}
    if "reserve" in rows.columns:
        listed["reserve"] = rows["reserve"]
    flat = [column.explode().drop_nulls() for column in listed.values()]
    documents, document_places = distinct_texts(pl.concat(flat))
    parts = np.split(document_places + len(queries), np.cumsum([len(part) for part in flat])[:-1])
    arrays = {"queries": query_places} | dict(zip(listed, parts, strict=True))
    for name, column in listed.items():
        counts = column.list.len().to_numpy()
        arrays[f"{name.removesuffix('s')}_offsets"] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return {"query": queries, "document": documents}, arrays


def _write_tokens(
    file: BinaryIO, tokenizer: Tokenizer, texts: dict[str, pl.Series], settings: Tokenising, prompt_lengths: dict, pairs: Path
) -> tuple[np.ndarray, dict[str, int], dict[str, int]]:
    """Write the texts' tokens; return each text's number of tokens, and how many texts of each side were truncated, and
    have the tokens of an earlier one."""
    prompts, lengths, truncated, alike = settings.prompts, [], dict.fromkeys(texts, 0), {}
    _write_header(file, 0)
    for side, distinct in texts.items():
        tokenizer.enable_truncation(getattr(settings.max_tokens, side), direction=tokenizer.truncation["direction"])
        hashes = []  # 8 bytes a text; the tokens themselves might not fit into memory
        for chunk in _chunks(distinct):
            tokens, counts, longer = _tokenise(tokenizer, [prompts[side] + text for text in chunk])
            rows = np.split(tokens, np.cumsum(counts)[:-1])
            hashes.append(np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows)))
            if prompt_lengths[side] and counts.min() <= prompt_lengths[side]:
                raise AscentError(
                    f"{pairs}: the prompt alone has as many tokens as {(prompts[side] + chunk[counts.argmin()])[:60]!r}, which "
                    "leaves none to pool; end the prompt with something other than a space, or set pool_prompt: true."
                )
            file.write(tokens.astype("<i4").tobytes())
            lengths.append(counts)
            truncated[side] += longer
        alike[side] = len(distinct) - len(np.unique(np.concatenate(hashes)))
    _write_header(file, int(sum(counts.sum() for counts in lengths)))
    return np.concatenate(lengths), truncated, alike


def _arrays(rows: pl.DataFrame, texts: dict[str, pl.Series], places: dict, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays that follow from the rows, the places of their texts and each text's number of tokens."""
    queries, documents, offsets = places["queries"], places["documents"], places["document_offsets"]
    text_ids = np.fromiter((number for distinct in texts.values() for number in _numbers(distinct)), np.int64, len(lengths))
    answers = pl.DataFrame({"query": text_ids[queries], "answer": text_ids[documents[offsets[:-1]]]})
    answers = answers.unique(maintain_order=True).sort("query", maintain_order=True)
    asked, counts = np.unique(answers["query"].to_numpy(), return_counts=True)
    return {
        "offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "text_ids": text_ids,
        "row_tokens": (lengths[queries] + np.add.reduceat(lengths[documents], offsets[:-1])).astype(np.int32),
        "labels": rows["label"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        "asked": asked,
        "answers": answers["answer"].to_numpy(),
        "answer_offsets": np.concatenate([[0], np.cumsum(counts)]),
    }


def load_tokenizer(folder: Path, max_tokens: int) -> tuple[Tokenizer, str]:
    """Return a model folder's tokenizer, which truncates texts to `max_tokens` on its own side, and its digest.

    Raises AscentError if the folder's ascent.json was written for another tokenizer.
    """
    expected = read_json(folder / "ascent.json")["tokenizer_digest"]
    configuration = folder / "tokenizer_config.json"
    side = read_json(configuration).get("truncation_side", "right") if configuration.exists() else "right"
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path)) if path.exists() else None
    if tokenizer is None or tokenizer_digest(tokenizer) != expected:
        # The file is not always complete. transformers knows the rest, but imports torch, for seconds.
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer
    if tokenizer_digest(tokenizer) != expected:
        raise AscentError(f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model.")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer, expected


def _prompt_lengths(model: Path, settings: Tokenising) -> dict[str, int]:
    """Return how many tokens at the start of each side's texts pooling leaves out."""
    if settings.pool_prompt:
        return dict.fromkeys(settings.prompts, 0)
    # transformers knows which tokens are special, but imports torch, for seconds.
    from transformers import AutoTokenizer

    from ..model.batching import prompt_length

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    longest = settings.max_tokens
    return {side: prompt_length(tokenizer, prompt, getattr(longest, side)) for side, prompt in settings.prompts.items()}


def _chunks(texts: pl.Series) -> Iterator[list[str]]:
    ends = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        end = min(start + CHUNK_TEXTS, max(start + 1, int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))))
        yield texts[start:end].to_list()
        start = end


def _tokenise(tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the texts' tokens in one row (int32), each text's number of tokens (int64), and how many texts were truncated."""
    encoded = tokenizer.encode_batch_fast(texts)
    lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
    longest = tokenizer.truncation["max_length"]
    truncated = sum(1 for one, length in zip(encoded, lengths, strict=True) if length == longest and one.overflowing)
    return np.concatenate([np.array(one.ids, dtype=np.int32) for one in encoded]), lengths, truncated


def _numbers(texts: pl.Series) -> Iterator[int]:
    """Yield the texts' ids as numbers: 60 bits, since collectives carry int64."""
    for chunk in _chunks(texts):
        yield from (int(text_id(text)[:15], 16) for text in chunk)


def _write_header(file: BinaryIO, length: int) -> None:
    """Write the header of a one-dimensional int32 .npy file at its beginning: numpy leaves room for any length."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (length,)})
