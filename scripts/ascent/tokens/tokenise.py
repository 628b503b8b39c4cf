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

Nothing here imports torch: that would take longer than tokenising a small data set. No step holds the rows or their
texts: they are read a batch at a time, once to find the texts that are equal, and again to tokenise each one where it
occurs first.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..files import folder_atomically, read_json, scratch_in, sha256_file, write_json
from ..model.contract import tokenizer_digest
from ..model.prompt_checks import refuse_long_prompts
from ..pairs.arrays import Offsets, blocks, growing
from ..pairs.distinct import number_texts, writing_keys
from ..pairs.parquet import Table, digest_of_table, files_of
from ..pairs.prompts import COLUMNS
from ..settings.model import Tokenising
from ..settings.prompts import Side
from ..teachers.outputs import embeddings_file, read_scores, stored_scores
from .derived import copy_embeddings, write_answers, write_row_tokens
from .rows import PLACES, Rows, listed_at, texts_at
from .table import META
from .texts import CHUNK_TEXTS, write_texts

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
    with folder_atomically(output) as folder:
        with scratch_in(folder) as scratch:
            rows = Rows(pairs, negatives, settings, scratch)
            count, prompts = _read_rows(rows, folder, scratch, _prompt_check(model, settings, tokenizer))
            places = {side: number_texts(_keys_of(rows, side, scratch), scratch) for side in prompts}
            left_out = _prompt_lengths(model, settings)
            counted = write_texts(
                folder, scratch, tokenizer, settings, rows, places, left_out, plain=embeddings is not None
            )
            _write_places(rows, folder, places, counted["texts"]["query"])
            write_row_tokens(folder)
            write_answers(folder, scratch)
            if scores:
                _write_scores(scores, rows, folder, stored=files_of(scores) == files_of(pairs))
            if embeddings:
                copy_embeddings(embeddings_file(embeddings, pairs, negatives), scratch, folder)
        meta = {
            "settings": settings.model_dump(mode="json"),
            "tokenizer_digest": digest,
            "pairs": digest_of_table(pairs),
            "negatives": sha256_file(negatives) if negatives else None,
            **({"teacher_scores": digest_of_table(scores)} if scores else {}),
            "prompts": prompts,
            "rows": count,
            **counted,
            "files": {
                file.name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
                for file in sorted(folder.iterdir())
            },
        }
        write_json(folder / META, meta)
    return meta


def _read_rows(
    rows: Rows, folder: Path, scratch: Path, check: Callable[[Side, list[str]], None]
) -> tuple[int, dict[Side, list[str]]]:
    """Write the labels of all rows, where each row's texts begin, and the texts' keys; return how many rows there are,
    and the first prompts of each side. check: of the prompts of a side."""
    count, prompts = 0, {side: {} for side in COLUMNS}
    with ExitStack() as open_files:
        labels = open_files.enter_context(growing(folder / "labels.npy", "<f4"))
        keys = {place: open_files.enter_context(writing_keys(_keys(scratch, place))) for place in rows.places}
        offsets = {
            place: Offsets(open_files.enter_context(growing(folder / f"{place.removesuffix('s')}_offsets.npy", "<i8")))
            for place in rows.places
            if place != "queries"
        }
        for batch in rows.checked():
            count += len(batch)
            labels.add(batch["label"].cast(pl.Float32).fill_null(float("nan")).to_numpy())
            for side, column in COLUMNS.items():
                found = batch[column].unique(maintain_order=True).to_list()
                check(side, found)
                if len(prompts[side]) < EXAMPLES:
                    prompts[side] |= dict.fromkeys(found)
            for place in rows.places:
                for texts in texts_at(batch, place).iter_slices(CHUNK_TEXTS):
                    pairs = zip(texts["prompt"].to_list(), texts["text"].to_list(), strict=True)
                    keys[place](f"{len(prompt)} {prompt}{text}" for prompt, text in pairs)
                if place in offsets:
                    offsets[place].add(batch.select(listed_at(place).list.len()).to_series().to_numpy())
    return count, {side: list(found)[:EXAMPLES] for side, found in prompts.items()}


def _keys(scratch: Path, place: str) -> Path:
    return scratch / f"{place}-keys.parquet"


def _keys_of(rows: Rows, side: Side, scratch: Path) -> list[Path]:
    return [_keys(scratch, place) for place in rows.places if PLACES[place] == side]


def _write_places(rows: Rows, folder: Path, places: dict[Side, np.ndarray], queries: int) -> None:
    """Write which text is at each place of the rows. queries: how many distinct ones stand before the documents."""
    begin = dict.fromkeys(places, 0)
    for place in rows.places:
        side = PLACES[place]
        if place == "queries":
            end = len(places[side])
        else:
            offsets = np.load(folder / f"{place.removesuffix('s')}_offsets.npy", mmap_mode="r")
            end = begin[side] + int(offsets[-1])
        own = places[side][begin[side] : end]
        with growing(folder / f"{place}.npy", "<i8") as array:
            for block in blocks(len(own)):
                array.add(own[block] + (queries if side == "document" else 0))
        begin[side] = end


def _write_scores(scores: Table, rows: Rows, folder: Path, *, stored: bool) -> None:
    """Write the teacher's score of each document. stored: whether the scores came with the pairs."""
    if stored:
        found = stored_scores(scores, rows.batches("scores"))
    else:
        found = read_scores(scores, rows.batches("query_id", "positive_id", "negatives"))
    with growing(folder / "teacher_scores.npy", "<f4") as array:
        for part in found:
            array.add(part)


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


def _prompt_check(model: Path, settings: Tokenising, tokenizer: Tokenizer) -> Callable[[Side, list[str]], None]:
    """Return a function that raises AscentError if a prompt of a side fills most of its texts' tokens."""

    @lru_cache(maxsize=10_000)
    def check(side: Side, prompt: str) -> None:
        refuse_long_prompts([prompt], tokenizer, getattr(settings.max_tokens, side), model)

    return lambda side, prompts: [check(side, prompt) for prompt in prompts]


def _prompt_lengths(model: Path, settings: Tokenising) -> Callable[[Side, str], int] | None:
    """Return a function of a side and a prompt: how many tokens at the start of a text pooling leaves out; None if it
    leaves out none."""
    if settings.pool_prompt:
        return None
    # transformers knows which tokens are special, but imports torch, for seconds.
    from transformers import AutoTokenizer

    from ..model.batching import prompt_length

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    return lru_cache(maxsize=10_000)(
        lambda side, prompt: prompt_length(tokenizer, prompt, getattr(settings.max_tokens, side))
    )
