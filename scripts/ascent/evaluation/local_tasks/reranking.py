"""Reranking: each query ranks its positives and negatives only, without itself."""

import polars as pl

from ...pairs.text import text_id
from ...settings.evaluation import Reranking
from . import Tables, retrieval, rows_of

WITH_NEGATIVES = pl.col("negatives").list.len() > 0
CATEGORY, MAIN_SCORE = "t2t", "map_at_1000"
UNITS, METRICS = retrieval.UNITS, retrieval.METRICS
units = retrieval.units


def texts(task: Reranking, tables: Tables) -> list[tuple[str, pl.Series]]:
    """Return the queries, their positives and their negatives."""
    rows = rows_of(task, tables.pairs, WITH_NEGATIVES)
    return [("query", rows["query"]), ("document", pl.concat([rows["positive"], rows["negatives"].explode()]))]


def mteb_class() -> type:
    """Return mteb's class."""
    from mteb.abstasks import AbsTaskRetrieval

    return AbsTaskRetrieval


def fill(mteb_task, task: Reranking, tables: Tables) -> None:
    """Fill mteb's task with the queries and the documents that each of them ranks."""
    from datasets import Dataset

    rows = rows_of(task, tables.pairs, WITH_NEGATIVES)
    texts, candidates = {}, {}
    for row in rows.iter_rows(named=True):
        documents_of_row = {row["positive_id"]: row["positive"]} | {text_id(text): text for text in row["negatives"]}
        texts |= documents_of_row
        candidates.setdefault(row["query_id"], set()).update(documents_of_row)
    ranked = {query: sorted(ids) for query, ids in candidates.items()}
    corpus = Dataset.from_dict({"id": sorted(texts), "text": [texts[key] for key in sorted(texts)]})
    retrieval.fill_ranking(mteb_task, task, rows, corpus, ranked)
