"""A teacher's scores of pairs and documents, and its embeddings of texts: no step holds the rows or what the teacher
makes of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..files import scratch_in
from ..model.encoder import Encoder
from ..negatives.rows import TrainingRows
from ..pairs.arrays import growing, mapped
from ..pairs.parquet import Table
from ..pairs.table import count_pairs, pair_batches
from ..progress import PATIENCE, Progress
from ..settings.measures import Scoring
from ..settings.teachers import Teaching
from .candidates import Distinct, candidates
from .cross_encoder import CrossEncoder
from .outputs import Scored, write_scores, writing_embeddings

# Texts that are embedded, or pairs that are scored, longest first: as many as the encoder's own chunks.
CHUNK = 100_000
# Embeddings to multiply at a time.
_MULTIPLIED = 10_000
WORDS = {"query": "queries", "document": "documents"}


def score_pairs(scoring: Scoring, folder: Path, part: Path) -> Iterator[pl.DataFrame]:
    """Yield query_id, positive_id and score of a part's pairs, a batch at a time: the inner product of a pair's
    embeddings by a bi-encoder. The part may have no rows."""
    encoder = Encoder.of_backbone(folder, scoring.teacher)
    with Progress("pairs", 2 * count_pairs(part), "text", patience=PATIENCE) as shown:
        for _, pairs in pair_batches(part):
            queries, positives = (
                encoder.encode(pairs[column].to_list(), side=side, task=scoring.task, progress=shown)
                for column, side in (("query", "query"), ("positive", "document"))
            )
            scores = (queries * positives).sum(axis=1)
            yield pairs.select("query_id", "positive_id").with_columns(score=pl.Series(scores))


def score_with_teacher(teaching: Teaching, folder: Path, pairs: Table, negatives: Path | None, output: Path) -> Scored:
    """Write the teacher's score of each row's positive and negatives, float32 (candidates,), as write_scores does.

    folder: the retrieved teacher. negatives: mined ones, which replace the rows' own. Raises AscentError if no row has
    a negative."""
    with scratch_in(output.parent) as scratch:
        rows = TrainingRows(pairs, negatives, scratch)
        if not any((batch["negatives"].list.len() > 0).any() for batch in rows.batches("negatives")):
            raise AscentError(
                f"{rows.name}: no row has a negative, and a teacher's scores of positives alone teach nothing; mine"
                " negatives, or use another objective."
            )
        of_rows = _similarities if teaching.teacher.embeds else _logits
        scores = of_rows(teaching, folder, rows, scratch)
        return write_scores(output, rows.batches("query_id", "positive_id", "negatives"), scores)


def embed_with_teacher(
    teaching: Teaching, folder: Path, pairs: Table, negatives: Path | None, output: Path
) -> tuple[int, int]:
    """Write a bi-encoder's embeddings of the rows' distinct queries, then of their distinct documents, and return their
    shape.

    float16 (texts, dimension), in order of first occurrence. Raises AscentError if a number is too large for float16.
    """
    encoder = Encoder.of_backbone(folder, teaching.teacher)
    with writing_embeddings(output, pairs, negatives) as file, scratch_in(file.parent) as scratch:
        rows = TrainingRows(pairs, negatives, scratch)
        with growing(file, "<f2", encoder.model.dimension) as array:
            for side in WORDS:
                for embeddings in _embeddings(encoder, teaching.task, side, Distinct(rows, [side], scratch)):
                    if np.abs(embeddings).max() > np.finfo(np.float16).max:
                        raise AscentError(
                            f"{folder}: an embedding has a number above 65,504; set the teacher's normalise: true."
                        )
                    array.add(embeddings)
        return array.length, encoder.model.dimension


def _embeddings(encoder: Encoder, task: str, side: str, texts: Distinct) -> Iterator[np.ndarray]:
    """Yield the embeddings of a side's distinct texts, a chunk at a time: float32 (texts, dimension)."""
    with Progress(WORDS[side], texts.count, "text", patience=PATIENCE) as shown:
        for chunk in texts.chunks(CHUNK):
            yield encoder.encode(chunk[side].to_list(), side=side, task=task, progress=shown)


def _similarities(teaching: Teaching, folder: Path, rows: TrainingRows, scratch: Path) -> Iterator[np.ndarray]:
    """Yield the inner product of the embeddings of each row's query and candidates, a batch of rows at a time."""
    encoder, places, embeddings = Encoder.of_backbone(folder, teaching.teacher), {}, {}
    for side in WORDS:
        texts, file = Distinct(rows, [side], scratch), scratch / f"{side}-embeddings.npy"
        with growing(file, "<f4", encoder.model.dimension) as array:
            for found in _embeddings(encoder, teaching.task, side, texts):
                array.add(found)
        places[side], embeddings[side] = texts.places, mapped(file)
    begin = 0
    for batch in rows.batches("query", "positive", "negatives"):
        scores = np.empty(len(candidates(batch)), dtype=np.float32)
        for start in range(0, len(scores), _MULTIPLIED):
            own = slice(begin + start, begin + min(start + _MULTIPLIED, len(scores)))
            query, document = (embeddings[side][places[side][own]] for side in WORDS)
            scores[start : start + _MULTIPLIED] = (query * document).sum(axis=1)
        begin += len(scores)
        yield scores


def _logits(teaching: Teaching, folder: Path, rows: TrainingRows, scratch: Path) -> Iterator[np.ndarray]:
    """Yield a cross-encoder's scores of each row's candidates, a batch of rows at a time: of those that are equal, such
    as the negatives of a query with two answers, one is computed."""
    model = CrossEncoder(folder, max_tokens=teaching.teacher.max_tokens)
    pairs, file, begin = Distinct(rows, ["query", "document"], scratch), scratch / "scores.npy", 0
    with growing(file, "<f4") as array, Progress("pairs", pairs.count, "pair", patience=PATIENCE) as shown:
        for chunk in pairs.chunks(CHUNK):
            array.add(model.score(chunk["query"], chunk["document"], shown))
    scores = mapped(file)
    for batch in rows.batches("query", "positive", "negatives"):
        end = begin + len(candidates(batch))
        yield scores[pairs.places[begin:end]]
        begin = end
