"""A data set's texts as tokens, in plain arrays that are mapped into memory: made once on a CPU, read by all training
processes.

A folder of .npy files and meta.json. There are T texts, the distinct queries and then the distinct documents, each with
its prompt, and twice if it has two; R rows, each with a query, a positive and its negatives; Q distinct queries.

    tokens            int32 (all tokens)         the texts' tokens, one text after another
    offsets           int64 (T + 1)              text t has tokens[offsets[t]:offsets[t + 1]]
    text_ids          int64 (T)                  equal where the texts are equal, whatever their prompts
    prompt_lengths    int32 (T)                  the text's first tokens that pooling leaves out, or absent
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
    reserve           int64 (whole reserve)      the texts of each row's reserve, row after row, if mining keeps one
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
from ..pairs.parquet import Table, digest_of_table, files_of, named
from ..pairs.prompts import with_prompts
from ..pairs.table import distinct_rows, distinct_texts
from ..pairs.text import text_id
from ..settings.model import Tokenising
from ..settings.prompts import Side
from ..teachers.outputs import embeddings_file, read_scores, stored_scores
from .table import META

# Texts tokenised at a time: at most this many, of this many bytes. The library keeps about a hundred bytes per token.
CHUNK_TEXTS = 10_000
CHUNK_BYTES = 8_000_000
# Of many prompts, how many meta.json names.
EXAMPLES = 5


def tokenise_pairs(
    model: Path,
    settings: Tokenising,
    pairs: Table,
    negatives: Path | None,
    output: Path,
    *,
    scores: Table | None = None,
    embeddings: Path | None = None,
) -> dict:
    """Write a data set's tokens; return the contents of meta.json.

    model: a model folder with the tokenizer. negatives: mined ones, which replace the rows' own. scores, embeddings: a
    teacher's, by score_with_teacher and embed_with_teacher; `pairs` again for scores that came with them.

    Raises AscentError if any of these was made for other pairs, if a prompt fills most of the tokens, if one that
    pooling leaves out leaves nothing of a text, and as read_pairs does."""
    tokenizer, digest = load_tokenizer(model, settings.max_tokens.longest)
    rows = with_prompts(training_rows(pairs, negatives), settings)
    texts, places = _distinct(rows)
    prompts = {
        side: distinct["prompt"].unique(maintain_order=True).cast(pl.String).to_list()
        for side, distinct in texts.items()
    }
    for side, of_side in prompts.items():
        refuse_long_prompts(of_side, tokenizer, getattr(settings.max_tokens, side), model)
    left_out = {side: _prompt_lengths(model, settings, side, of_side) for side, of_side in prompts.items()}
    with folder_atomically(output) as folder:
        with (folder / "tokens.npy").open("wb") as file:
            lengths, prompt_lengths, truncated, alike = _write_tokens(file, tokenizer, texts, settings, left_out, pairs)
        arrays = places | _arrays(rows, texts, places, lengths)
        if not settings.pool_prompt:
            arrays["prompt_lengths"] = prompt_lengths
        if scores:
            arrays["teacher_scores"] = (
                stored_scores(pairs, rows) if files_of(scores) == files_of(pairs) else read_scores(scores, rows)
            )
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        if embeddings:
            _copy_embeddings(embeddings_file(embeddings, pairs, negatives), texts, folder / "teacher_embeddings.npy")
        meta = {
            "settings": settings.model_dump(mode="json"),
            "tokenizer_digest": digest,
            "pairs": digest_of_table(pairs),
            "negatives": sha256_file(negatives) if negatives else None,
            **({"teacher_scores": digest_of_table(scores)} if scores else {}),
            "prompts": {side: of_side[:EXAMPLES] for side, of_side in prompts.items()},
            "rows": len(rows),
            "texts": {side: len(distinct) for side, distinct in texts.items()},
            "texts_cut": truncated,
            "texts_alike": alike,
            "texts_with_prompt": {side: with_prompt(distinct) for side, distinct in texts.items()},
            "tokens": int(lengths.sum()),
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
                for file in sorted(folder.iterdir())
            },
        }
        write_json(folder / META, meta)
    return meta


def _distinct(rows: pl.DataFrame) -> tuple[dict[str, pl.DataFrame], dict[str, np.ndarray]]:
    """Return the distinct texts of each side with their prompts (the columns text and prompt), and the arrays that say
    where they occur: queries, documents, reserve."""
    # Numbers in place of prompts, of which there is one for each negative.
    prompts = {name: rows[name].cast(pl.Enum(rows[name].unique())) for name in ("query_prompt", "document_prompt")}
    queries, query_places = distinct_rows(pl.DataFrame({"text": rows["query"], "prompt": prompts["query_prompt"]}))
    listed = {"documents": rows.select(pl.concat_list("positive", "negatives")).to_series()}
    if "reserve" in rows.columns:
        listed["reserve"] = rows["reserve"]
    flat = [
        pl.DataFrame({"text": column, "prompt": prompts["document_prompt"]}).explode("text").drop_nulls("text")
        for column in listed.values()
    ]
    documents, document_places = distinct_rows(pl.concat(flat))
    parts = np.split(document_places + len(queries), np.cumsum([len(part) for part in flat])[:-1])
    arrays = {"queries": query_places} | dict(zip(listed, parts, strict=True))
    for name, column in listed.items():
        counts = column.list.len().to_numpy()
        arrays[f"{name.removesuffix('s')}_offsets"] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return {"query": queries, "document": documents}, arrays


def _write_tokens(
    file: BinaryIO,
    tokenizer: Tokenizer,
    texts: dict[Side, pl.DataFrame],
    settings: Tokenising,
    prompt_lengths: dict,
    pairs: Table,
) -> tuple[np.ndarray, np.ndarray, dict[str, int], dict[str, int]]:
    """Write the texts' tokens; return each text's number of tokens, and of those that pooling leaves out, and how many
    texts of each side were truncated, and have the tokens of an earlier one. prompt_lengths: by side and prompt."""
    lengths, left_out, truncated, alike = [], [], dict.fromkeys(texts, 0), {}
    _write_header(file, 0)
    for side, distinct in texts.items():
        tokenizer.enable_truncation(getattr(settings.max_tokens, side), direction=tokenizer.truncation["direction"])
        hashes = []  # 8 bytes a text; the tokens themselves might not fit into memory
        for part in _chunks(distinct["text"]):
            prompts = distinct["prompt"][part].cast(pl.String).to_list()
            prompted = [prompt + text for prompt, text in zip(prompts, distinct["text"][part].to_list(), strict=True)]
            tokens, counts, longer = _tokenise(tokenizer, prompted)
            rows = np.split(tokens, np.cumsum(counts)[:-1])
            hashes.append(np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows)))
            left_out.append(np.array([prompt_lengths[side][prompt] for prompt in prompts], dtype=np.int32))
            if len(nothing := np.flatnonzero((left_out[-1] > 0) & (counts <= left_out[-1]))):
                raise AscentError(
                    f"{named(pairs)}: the prompt alone has as many tokens as {prompted[nothing[0]][:60]!r}, which "
                    "leaves none to pool; end the prompt with something other than a space, or set pool_prompt: true."
                )
            file.write(tokens.astype("<i4").tobytes())
            lengths.append(counts)
            truncated[side] += longer
        alike[side] = len(distinct) - len(np.unique(np.concatenate(hashes)))
    _write_header(file, int(sum(counts.sum() for counts in lengths)))
    return np.concatenate(lengths), np.concatenate(left_out), truncated, alike


def _copy_embeddings(source: Path, texts: dict[str, pl.DataFrame], target: Path) -> None:
    """Write the teacher's embedding of each text, which has one whatever prompts it is trained with."""
    parts, start = [], 0
    for distinct in texts.values():
        plain, places = distinct_texts(distinct["text"])
        parts.append(start + places)
        start += len(plain)
    if start == sum(map(len, texts.values())):
        shutil.copyfile(source, target)
    else:
        np.save(target, np.load(source, mmap_mode="r")[np.concatenate(parts)])


def _arrays(
    rows: pl.DataFrame, texts: dict[str, pl.DataFrame], places: dict, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays that follow from the rows, the places of their texts and each text's number of tokens."""
    queries, documents, offsets = places["queries"], places["documents"], places["document_offsets"]
    text_ids = np.fromiter(
        (number for distinct in texts.values() for number in _numbers(distinct["text"])), np.int64, len(lengths)
    )
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
        raise AscentError(
            f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model."
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer, expected


def _prompt_lengths(model: Path, settings: Tokenising, side: Side, prompts: list[str]) -> dict[str, int]:
    """Return by prompt of a side how many tokens at the start of a text pooling leaves out."""
    if settings.pool_prompt:
        return dict.fromkeys(prompts, 0)
    # transformers knows which tokens are special, but imports torch, for seconds.
    from transformers import AutoTokenizer

    from ..model.batching import prompt_length

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    longest = getattr(settings.max_tokens, side)
    return {prompt: prompt_length(tokenizer, prompt, longest) for prompt in prompts}


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
    encoded = tokenizer.encode_batch_fast(texts)
    lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
    longest = tokenizer.truncation["max_length"]
    truncated = sum(1 for one, length in zip(encoded, lengths, strict=True) if length == longest and one.overflowing)
    return np.concatenate([np.array(one.ids, dtype=np.int32) for one in encoded]), lengths, truncated


def _numbers(texts: pl.Series) -> Iterator[int]:
    """Yield the texts' ids as numbers: 60 bits, since collectives carry int64."""
    for part in _chunks(texts):
        yield from (int(text_id(text)[:15], 16) for text in texts[part].to_list())


def _write_header(file: BinaryIO, length: int) -> None:
    """Write the header of a one-dimensional int32 .npy file at its beginning: numpy leaves room for any length."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (length,)})
