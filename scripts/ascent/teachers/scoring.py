"""A teacher's scores of documents, its embeddings of texts."""

from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..model.encoder import Encoder
from ..pairs.table import distinct_texts
from ..settings.teachers import BiEncoderTeacher, Teaching
from .cross_encoder import CHUNK, CrossEncoder
from .outputs import candidates


def score_with_teacher(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return the teacher's score of each row's positive and negatives, one row after another: float32 (candidates,).

    folder: the teacher as it was retrieved. rows: see negatives.table.training_rows.
    """
    pairs = candidates(rows)
    teacher = teaching.teacher
    if isinstance(teacher, BiEncoderTeacher):
        return _similarities(Encoder.of_backbone(folder, teacher), teaching.task, pairs)
    distinct = pairs.unique(maintain_order=True)  # a query with two answers asks twice of the same negatives
    scores = CrossEncoder(folder, max_tokens=teacher.max_tokens).score(distinct["query"], distinct["document"])
    scored = distinct.with_columns(score=pl.Series(scores))
    return pairs.join(scored, ["query", "document"], how="left", maintain_order="left")["score"].to_numpy()


def embed_with_teacher(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return the teacher's embeddings of the rows' distinct queries, then of their distinct documents, in the order in which they
    first come: float16 (texts, dimension). Only a bi-encoder has any.

    Raises AscentError when a number is too large for float16.
    """
    encoder = Encoder.of_backbone(folder, teaching.teacher)
    parts = []
    for side, texts in {"query": rows["query"], "document": candidates(rows)["document"]}.items():
        distinct, _ = distinct_texts(texts)
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK].to_list()
            embeddings = encoder.encode(chunk, side=side, task=teaching.task, progress=True)
            if np.abs(embeddings).max() > np.finfo(np.float16).max:
                raise AscentError(f"{folder}: an embedding has a number above 65,504; set the teacher's normalise: true.")
            parts.append(embeddings.astype(np.float16))
    return np.concatenate(parts)


def _similarities(encoder: Encoder, task: str, pairs: pl.DataFrame) -> np.ndarray:
    """Return the inner product of each pair's embeddings."""
    embeddings, places = {}, {}
    for side in ("query", "document"):
        texts, places[side] = distinct_texts(pairs[side])
        embeddings[side] = encoder.encode(texts.to_list(), side=side, task=task, progress=True)
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        query, document = (embeddings[side][places[side][part]] for side in ("query", "document"))
        scores[part] = (query * document).sum(axis=1)
    return scores
