"""Retrieval: each query ranks all documents of its split, and of those of other corpora, except itself."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import AscentError
from ...pairs.parquet import named
from ...settings.evaluation import Retrieval
from ..pool import write_pool
from . import Tables, rows_of

CATEGORY, MAIN_SCORE = "t2t", "ndcg_at_10"
UNITS = "queries"
METRICS = {"ndcg": "nDCG", "map": "MAP", "mrr": "MRR"}
# At the end of the id of a query that is its own answer.
ITSELF = "-itself"
# mteb's metrics that are means over queries, and pytrec_eval's names for them.
_PER_QUERY = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "hit_rate": "success"}
# mteb's metrics over queries that it has cut into parts.
_MERGED = "max_over_subqueries_"


@dataclass(frozen=True)
class Ranking:
    """What mteb knows of a ranking task's queries: their scores by pytrec_eval, which documents answer them (`qrels`),
    and the documents' scores (`results`)."""

    scores: dict[str, dict[str, float]]
    qrels: dict[str, dict[str, int]]
    results: dict[str, dict[str, float]]

    def reciprocal_ranks(self, depth: int) -> dict[str, float]:
        """Return each query's reciprocal rank, 0 beyond `depth`. pytrec_eval has no cut for it, so mteb counts."""
        from mteb._evaluators.retrieval_metrics import mrr

        return dict(zip(self.results, mrr(self.qrels, self.results, [depth])[f"MRR@{depth}"], strict=True))

    def of_whole_queries(self, depth: int) -> "Ranking":
        """Return the ranking of queries that were cut into `<query>_<number>`: a document has the best score of its
        parts'."""
        from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

        qrels, results = {}, defaultdict(dict)
        for part, relevant in self.qrels.items():
            query = part.rpartition("_")[0]
            qrels[query] = relevant
            for document, score in self.results[part].items():
                results[query][document] = max(score, results[query].get(document, score))
        return Ranking(calculate_retrieval_scores(results, qrels, [depth]).all_scores, qrels, results)


def texts(task: Retrieval, tables: Tables) -> list[tuple[str, pl.Series]]:
    """Return the queries."""
    return [("query", rows_of(task, tables.pairs)["query"])]


def mteb_class() -> type:
    """Return mteb's class, whose result also says how many documents were searched."""
    from mteb.abstasks import AbsTaskRetrieval

    class Searching(AbsTaskRetrieval):
        def task_specific_scores(self, scores, qrels, results, hf_split, hf_subset) -> dict[str, int]:
            return {"documents_searched": len(self.dataset[hf_subset][hf_split]["corpus"])}

    return Searching


def fill(mteb_task, task: Retrieval, tables: Tables) -> None:
    """Fill mteb's task with the queries, the documents and which of these answer them."""
    rows = rows_of(task, tables.pairs)
    if not tables.documents:
        raise AscentError("a retrieval task searches in documents; add --documents.")
    corpus = write_pool(tables.folder, tables.documents, tables.pools, task.split)
    missing = rows.filter(~pl.col("positive_id").is_in(_among(corpus, rows["positive_id"])))
    if not missing.is_empty():
        raise AscentError(
            f"{named(tables.documents)}: lacks the document {missing['positive_id'][0]}, a positive of the query "
            f"{missing['query'][0]!r}; add it to the documents of the split '{task.split}'."
        )
    fill_ranking(mteb_task, task, rows, corpus)


def fill_ranking(mteb_task, task, rows, corpus, top_ranked=None) -> None:
    """Fill a ranking task of mteb. corpus: all documents, a Dataset of `id` and `text`. top_ranked: those that each
    query ranks, by id; all if omitted. Labels are grades.

    A document that is the query itself is not ranked (`ignore_identical_ids`, as in BEIR's Quora and ArguAna), unless
    it is its answer: such a query gets an id of its own."""
    from datasets import Dataset
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    mteb_task.ignore_identical_ids = True
    answers_itself = (pl.col("query_id") == pl.col("positive_id")).any().over("query_id")
    rows = rows.with_columns(query_id=pl.when(answers_itself).then(pl.col("query_id") + ITSELF).otherwise("query_id"))
    queries = rows.unique("query_id", keep="first").sort("query_id")
    top_ranked = top_ranked and {query: top_ranked[query.removesuffix(ITSELF)] for query in queries["query_id"]}
    relevant = _grades(task, rows)
    among = {*_among(corpus, queries["query_id"])}

    def ranked(query: str) -> int:
        return len({*top_ranked[query]} - {query}) if top_ranked else len(corpus) - (query in among)

    if all(len(grades) >= ranked(query) for query, grades in relevant.items()):
        raise AscentError(
            f"{task.corpus}: every document that a query ranks is an answer to it, so any model scores 1; give the"
            f" split '{task.split}' other documents, or the rows negatives."
        )
    data = RetrievalSplitData(
        queries=Dataset.from_dict({"id": queries["query_id"].to_list(), "text": queries["query"].to_list()}),
        corpus=corpus,
        relevant_docs=relevant,
        top_ranked=top_ranked,
    )
    mteb_task.dataset = {"default": {task.split: data}}


def _grades(task, rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return each query's positives with their grades of relevance, the rows' labels; 1 without one."""
    graded = rows.group_by("query_id", "positive_id", maintain_order=True).agg(grade=pl.col("label").max().fill_null(1))
    odd = graded.filter(pl.col("grade") % 1 != 0)
    if not odd.is_empty():
        raise AscentError(
            f"{task.corpus}: a row of the split '{task.split}' has the label {odd['grade'][0]:g}, but a grade of"
            " relevance is a whole number; change the labels, or read the rows without `columns.label`."
        )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for query, positive, grade in graded.iter_rows():
        found[query][positive] = int(grade)
    return dict(found)


def units(mteb_task, observed: Ranking, split: str, subset: str) -> Iterator[tuple]:
    """Yield each query's main score; nothing when the main score is not a mean over queries."""
    metric = mteb_task.metadata.main_score
    measure, _, depth = metric.removeprefix(_MERGED).partition("_at_")
    if not re.fullmatch(r"\d+", depth) or measure not in (*_PER_QUERY, "mrr"):
        return
    if metric.startswith(_MERGED):
        observed = observed.of_whole_queries(int(depth))
    if measure == "mrr":
        scores = {} if mteb_task.skip_first_result else observed.reciprocal_ranks(int(depth))
    else:
        scores = {query: found[f"{_PER_QUERY[measure]}_{depth}"] for query, found in observed.scores.items()}
    yield from ((query, scores[query], None, [query]) for query in sorted(scores))


def _among(corpus, ids: pl.Series) -> list[str]:
    """Return which of these ids are of documents."""
    documents = corpus.data.column("id")
    return documents.filter(pc.is_in(documents, pa.array(ids.unique().to_list(), pa.string()))).to_pylist()
