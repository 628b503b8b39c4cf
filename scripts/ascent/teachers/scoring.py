"""A teacher's scores of pairs and documents, and its embeddings of texts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..model.encoder import Encoder
from ..pairs.table import count_pairs, distinct_texts, pair_batches
from ..progress import PATIENCE, Progress
from ..settings.measures import Scoring
from ..settings.teachers import BiEncoderTeacher, Teaching
from .cross_encoder import CHUNK, CrossEncoder
from .outputs import candidates

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


def score_with_teacher(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return the teacher's score of each row's positive and negatives, one row after another: float32 (candidates,).

    folder: the retrieved teacher. rows: see negatives.table.training_rows.
    """
    pairs = candidates(rows)
    teacher = teaching.teacher
    if isinstance(teacher, BiEncoderTeacher):
        return _similarities(Encoder.of_backbone(folder, teacher), teaching.task, pairs)
    distinct = pairs.unique(maintain_order=True)  # the negatives of a query with two answers come twice
    scores = CrossEncoder(folder, max_tokens=teacher.max_tokens).score(distinct["query"], distinct["document"])
    scored = distinct.with_columns(score=pl.Series(scores))
    return pairs.join(scored, ["query", "document"], how="left", maintain_order="left")["score"].to_numpy()


def embed_with_teacher(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return a bi-encoder's embeddings of the rows' distinct queries, then of their distinct documents.

    float16 (texts, dimension), in order of first occurrence. Raises AscentError if a number is too large for float16.
    """
    encoder = Encoder.of_backbone(folder, teaching.teacher)
    parts = []
    for side, texts in {"query": rows["query"], "document": candidates(rows)["document"]}.items():
        distinct, _ = distinct_texts(texts)
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK].to_list()
            embeddings = encoder.encode(chunk, side=side, task=teaching.task, progress=WORDS[side])
            if np.abs(embeddings).max() > np.finfo(np.float16).max:
                raise AscentError(
                    f"{folder}: an embedding has a number above 65,504; set the teacher's normalise: true."
                )
            parts.append(embeddings.astype(np.float16))
    return np.concatenate(parts)


def _similarities(encoder: Encoder, task: str, pairs: pl.DataFrame) -> np.ndarray:
    """Return the inner product of each pair's embeddings."""
    embeddings, places = {}, {}
    for side in ("query", "document"):
        texts, places[side] = distinct_texts(pairs[side])
        embeddings[side] = encoder.encode(texts.to_list(), side=side, task=task, progress=WORDS[side])
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        query, document = (embeddings[side][places[side][part]] for side in ("query", "document"))
        scores[part] = (query * document).sum(axis=1)
    return scores
