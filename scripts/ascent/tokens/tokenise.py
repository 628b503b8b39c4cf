"""A data set's texts as tokens, in plain arrays that are mapped into memory: made once on a CPU, read by every training process.

A folder of .npy files and meta.json. There are T texts, the distinct queries and then the distinct documents, each with the
prompt of its side; R rows, each of a query, a positive and its negatives; Q queries with different ids.

    tokens            int32 (all tokens)         the texts' tokens, one text after another
    offsets           int64 (T + 1)              text t has tokens[offsets[t]:offsets[t + 1]]
    text_ids          int64 (T)                  equal where the texts are equal
    queries           int64 (R)                  the text of each row's query
    documents         int64 (all documents)      the texts of each row's positive and negatives, one row after another
    document_offsets  int64 (R + 1)              row r has documents[document_offsets[r]:document_offsets[r + 1]]
    row_tokens        int32 (R)                  tokens of each row's texts together
    labels            float32 (R)                the score of a graded row, else NaN
    teacher_scores    float32 (all documents)    the teacher's score of each document for its row's query; only of stages with a
                                                 teacher whose scores they learn
    teacher_embeddings  float16 (T, dimension)   the teacher's embedding of each text; only of stages that learn them
    asked             int64 (Q)                  the ids of the queries, rising
    answers           int64 (all answers)        ids of the positives of each of these queries, one query after another
    answer_offsets    int64 (Q + 1)              query q has answers[answer_offsets[q]:answer_offsets[q + 1]]
    reserve           int64 (whole reserve)      where mining keeps one: the texts of each row's reserve, one row after another
    reserve_offsets   int64 (R + 1)              row r has reserve[reserve_offsets[r]:reserve_offsets[r + 1]]

Nothing here imports torch, which would take longer than the tokens of a small data set.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..files import folder_atomically, read_json, sha256_file, write_json
from ..model.contract import tokenizer_digest
from ..negatives.table import training_rows
from ..pairs.table import distinct_texts
from ..pairs.text import text_id
from ..settings.model import Tokenising
from ..teachers.outputs import embeddings_file, read_scores, stored_scores
from .table import META

# Texts that are tokenised at a time, at most so many and of so many bytes: the library keeps some hundred bytes a token.
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

    model: a model folder with the tokenizer. negatives: mined ones, which replace the rows' own. scores, embeddings: a teacher's,
    by score_with_teacher and embed_with_teacher; for scores that came with the pairs, `pairs` again. Raises AscentError when any
    was made for other pairs, when nothing is left of a text by a prompt that pooling leaves out, and as read_pairs does.
    """
    tokenizer, digest = load_tokenizer(model, settings.max_tokens)
    rows, prompt_lengths = training_rows(pairs, negatives), _prompt_lengths(model, settings)
    documents = rows.select(pl.concat_list("positive", "negatives")).to_series()
    document_offsets = np.concatenate([[0], np.cumsum(documents.list.len().to_numpy(), dtype=np.int64)])
    asked_texts, queries = distinct_texts(rows["query"])
    listed = [documents.explode()]
    if "reserve" in rows.columns:
        reserve_offsets = np.concatenate([[0], np.cumsum(rows["reserve"].list.len().to_numpy(), dtype=np.int64)])
        listed.append(rows["reserve"].explode().drop_nulls())
    document_texts, places = distinct_texts(pl.concat(listed))
    documents, reserve = np.split(places + len(asked_texts), [len(listed[0])])
    with folder_atomically(output) as folder:
        lengths, cut = [], {}
        with (folder / "tokens.npy").open("wb") as file:
            _write_header(file, 0)
            sides = {"query": (asked_texts, settings.query_prompt), "document": (document_texts, settings.document_prompt)}
            for side, (texts, prompt) in sides.items():
                cut[side] = 0
                for chunk in _chunks(texts):
                    tokens, counts, longer = _tokenise(tokenizer, [prompt + text for text in chunk])
                    if prompt_lengths[side] and counts.min() <= prompt_lengths[side]:
                        raise AscentError(
                            f"{pairs}: of {(prompt + chunk[counts.argmin()])[:60]!r} no token is left to pool, since the prompt "
                            "alone has as many; end it with something else than a space, or set pool_prompt: true."
                        )
                    file.write(tokens.astype("<i4").tobytes())
                    lengths.append(counts)
                    cut[side] += longer
            lengths = np.concatenate(lengths)
            _write_header(file, int(lengths.sum()))
        text_ids = np.fromiter((number for texts, _ in sides.values() for number in _numbers(texts)), np.int64, len(lengths))
        positives = text_ids[documents[document_offsets[:-1]]]
        answers = pl.DataFrame({"query": text_ids[queries], "answer": positives}).unique(maintain_order=True)
        answers = answers.sort("query", maintain_order=True)
        asked, counts = np.unique(answers["query"].to_numpy(), return_counts=True)
        arrays = {
            "offsets": np.concatenate([[0], np.cumsum(lengths)]),
            "text_ids": text_ids,
            "queries": queries,
            "documents": documents,
            "document_offsets": document_offsets,
            "row_tokens": (lengths[queries] + np.add.reduceat(lengths[documents], document_offsets[:-1])).astype(np.int32),
            "labels": rows["label"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
            "asked": asked,
            "answers": answers["answer"].to_numpy(),
            "answer_offsets": np.concatenate([[0], np.cumsum(counts)]),
        }
        if scores:
            arrays["teacher_scores"] = stored_scores(pairs, rows) if scores == pairs else read_scores(scores, rows)
        if "reserve" in rows.columns:
            arrays |= {"reserve": reserve, "reserve_offsets": reserve_offsets}
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
            "texts": {"query": len(asked_texts), "document": len(document_texts)},
            "texts_cut": cut,
            "tokens": int(lengths.sum()),
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)} for file in sorted(folder.iterdir())
            },
        }
        write_json(folder / META, meta)
    return meta


def load_tokenizer(folder: Path, max_tokens: int) -> tuple[Tokenizer, str]:
    """Return a model folder's tokenizer, which cuts texts at `max_tokens` on the side that it is made for, and its digest.

    Raises AscentError when it is not the one that the folder's ascent.json was written for.
    """
    expected = read_json(folder / "ascent.json")["tokenizer_digest"]
    configuration = folder / "tokenizer_config.json"
    side = read_json(configuration).get("truncation_side", "right") if configuration.exists() else "right"
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path)) if path.exists() else None
    if tokenizer is None or tokenizer_digest(tokenizer) != expected:
        # The file alone does not tell all: what else there is, transformers knows, with torch and seconds of imports.
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer
    if tokenizer_digest(tokenizer) != expected:
        raise AscentError(f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model.")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer, expected


def _prompt_lengths(model: Path, settings: Tokenising) -> dict[str, int]:
    """Return how many tokens at the beginning of each side's texts pooling leaves out."""
    prompts = {"query": settings.query_prompt, "document": settings.document_prompt}
    if settings.pool_prompt:
        return dict.fromkeys(prompts, 0)
    # Which tokens are special, transformers knows, with torch and seconds of imports.
    from transformers import AutoTokenizer

    from ..model.batching import prompt_length

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    return {side: prompt_length(tokenizer, prompt, settings.max_tokens) for side, prompt in prompts.items()}


def _chunks(texts: pl.Series) -> Iterator[list[str]]:
    ends = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        end = min(start + CHUNK_TEXTS, max(start + 1, int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))))
        yield texts[start:end].to_list()
        start = end


def _tokenise(tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the texts' tokens in a row (int32), the number of each one's (int64), and how many texts were cut."""
    encoded = tokenizer.encode_batch_fast(texts)
    lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
    longest = tokenizer.truncation["max_length"]
    cut = sum(1 for one, length in zip(encoded, lengths, strict=True) if length == longest and one.overflowing)
    return np.concatenate([np.array(one.ids, dtype=np.int32) for one in encoded]), lengths, cut


def _numbers(texts: pl.Series) -> Iterator[int]:
    """Yield the texts' ids as numbers: 60 bits, since collectives carry int64."""
    for chunk in _chunks(texts):
        yield from (int(text_id(text)[:15], 16) for text in chunk)


def _write_header(file, length: int) -> None:
    """Write the header of a one-dimensional int32 .npy file at its beginning: numpy leaves room for any length."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (length,)})
