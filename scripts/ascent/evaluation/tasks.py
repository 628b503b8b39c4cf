"""Tasks for mteb: made of the rows of a local corpus, or known to mteb by name.

A local task differs from a registered one only in where its rows come from; protocol and metrics are mteb's. Every call
returns a fresh object, because task objects carry random state: used twice, the same object gives other scores.
"""

from pathlib import Path

import mteb
import polars as pl
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTask, AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata

from ..errors import AscentError, did_you_mean
from ..files import sha256_file
from ..pairs.table import read_documents, read_pairs
from ..pairs.text import text_id
from ..settings.evaluation import LocalTask, TaskSettings
from .local_tasks import _of_split

# Per task type: mteb's name for it, its class and its main score in mteb's benchmarks.
TYPES = {
    "retrieval": ("Retrieval", AbsTaskRetrieval, "ndcg_at_10"),
    "reranking": ("Reranking", AbsTaskRetrieval, "map_at_1000"),
    "classification": ("Classification", AbsTaskClassification, "accuracy"),
    "clustering": ("Clustering", AbsTaskClustering, "v_measure"),
    "sts": ("STS", AbsTaskSTS, "cosine_spearman"),
}


def make_task(settings: TaskSettings, pairs: Path | None = None, documents: Path | None = None) -> AbsTask:
    """Return a fresh task, its data loaded.

    A local task reads `pairs` and, for retrieval, `documents`. Raises AscentError when mteb knows no task of that name, when
    its data cannot be had, or when the corpus has no rows for it.
    """
    if settings.task is None:
        return _registered_task(settings)
    if pairs is None or (settings.task.type == "retrieval" and documents is None):
        raise AscentError(f"{settings.name}: a local {settings.task.type} task needs --pairs, and --documents for retrieval.")
    kind, base, main_score = TYPES[settings.task.type]
    metadata = TaskMetadata(
        name=settings.name,
        description=f"{kind} over the {settings.task.split} split of the corpus {settings.task.corpus}",
        type=kind,
        category="t2t" if base is AbsTaskRetrieval or kind == "STS" else "t2c",
        modalities=["text"],
        dataset={"path": f"local/{settings.task.corpus}", "revision": sha256_file(pairs)[:40]},
        eval_splits=[settings.task.split],
        eval_langs=[settings.language],
        main_score=main_score,
    )
    task = type(settings.name, (base,), {"metadata": metadata})(seed=settings.seed)
    source = "retrieval" if settings.task.type == "reranking" else settings.task.type
    # Clustering groups the texts of labelled rows by their labels.
    source = "classification" if source == "clustering" else source
    rows = read_pairs(pairs).filter(pl.col("task") == source)
    _FILL[settings.task.type](task, settings.task, rows, pairs, documents)
    task.data_loaded = True
    return task


def _registered_task(settings: TaskSettings) -> AbsTask:
    try:
        task = mteb.get_task(settings.name, hf_subsets=settings.subsets, eval_splits=settings.splits)
    except KeyError:
        known = [known.metadata.name for known in mteb.get_tasks()]
        raise AscentError(f"mteb has no task '{settings.name}'; {did_you_mean(settings.name, known)}") from None
    try:
        for part in task.metadata.tasks if task.is_aggregate else [task]:
            part.load_data()
    except Exception as error:  # whatever a hub, a network or a cache may raise: the user's mend is the same
        reason = " ".join(str(error).split())[:200]
        raise AscentError(
            f"{settings.name}: its data could not be loaded ({reason}); check the network, or fill the hub's cache first."
        ) from error
    return task


def _fill_retrieval(task: AbsTask, options: LocalTask, rows: pl.DataFrame, pairs: Path, documents: Path) -> None:
    rows = _of_split(rows, options, pairs)
    pool = read_documents(documents).filter(pl.col("split") == options.split).unique("document_id").sort("document_id")
    missing = rows.join(pool, left_on="positive_id", right_on="document_id", how="anti")
    if not missing.is_empty():
        raise AscentError(
            f"{documents}: lacks the document {missing['positive_id'][0]}, a positive of the query {missing['query'][0]!r}; "
            f"add it to the pool of the split '{options.split}'."
        )
    _set_retrieval(task, options, rows, pool["document_id"].to_list(), pool["text"].to_list())


def _fill_reranking(task: AbsTask, options: LocalTask, rows: pl.DataFrame, pairs: Path, documents: Path | None) -> None:
    rows = _of_split(rows.filter(pl.col("negatives").list.len() > 0), options, pairs)
    texts, candidates = {}, {}
    for row in rows.iter_rows(named=True):
        found = {row["positive_id"]: row["positive"]} | {text_id(text): text for text in row["negatives"]}
        texts |= found
        candidates.setdefault(row["query_id"], set()).update(found)
    ranked = {query: sorted(ids) for query, ids in candidates.items()}
    _set_retrieval(task, options, rows, sorted(texts), [texts[key] for key in sorted(texts)], ranked)


def _set_retrieval(task, options, rows, document_ids, document_texts, top_ranked=None) -> None:
    queries = rows.unique("query_id", keep="first").sort("query_id")
    relevant = rows.group_by("query_id", maintain_order=True).agg(pl.col("positive_id").unique(maintain_order=True))
    data = RetrievalSplitData(
        queries=Dataset.from_dict({"id": queries["query_id"].to_list(), "text": queries["query"].to_list()}),
        corpus=Dataset.from_dict({"id": document_ids, "text": document_texts}),
        relevant_docs={query: dict.fromkeys(positives, 1) for query, positives in relevant.iter_rows()},
        top_ranked=top_ranked,
    )
    task.dataset = {"default": {options.split: data}}


def _fill_classification(task: AbsTask, options: LocalTask, rows: pl.DataFrame, pairs: Path, documents: Path | None) -> None:
    train = _of_split(rows, options.model_copy(update={"split": "train", "queries": None}), pairs)
    evaluated = _of_split(rows, options, pairs)
    # Numbers, because mteb's average precision of two labels takes no text.
    numbers = {label: i for i, label in enumerate(sorted(set(train["positive"])))}
    unseen = set(evaluated["positive"]) - numbers.keys()
    if unseen:
        raise AscentError(f"{pairs}: no training row has the label {min(unseen)!r}; add one, or remove the label's rows.")
    splits = {
        name: Dataset.from_dict({"text": part["query"].to_list(), "label": [numbers[label] for label in part["positive"]]})
        for name, part in {"train": train, options.split: evaluated}.items()
    }
    task.dataset = {"default": DatasetDict(splits)}


def _fill_clustering(task: AbsTask, options: LocalTask, rows: pl.DataFrame, pairs: Path, documents: Path | None) -> None:
    rows = _of_split(rows, options, pairs)
    # All texts are embedded; mteb then clusters samples of this size, drawn with replacement.
    task.max_fraction_of_documents_to_embed = None
    task.max_documents_per_cluster = len(rows)
    columns = {"sentences": rows["query"].to_list(), "labels": rows["positive"].to_list()}
    task.dataset = {"default": DatasetDict({options.split: Dataset.from_dict(columns)})}


def _fill_sts(task: AbsTask, options: LocalTask, rows: pl.DataFrame, pairs: Path, documents: Path | None) -> None:
    rows = _of_split(rows, options, pairs)
    unlabelled = rows.filter(pl.col("label").is_null() | pl.col("label").is_nan())
    if not unlabelled.is_empty():
        raise AscentError(f"{pairs}: the pair of the query {unlabelled['query'][0]!r} has no label; graded pairs need one.")
    # mteb scales the human scores to 0..1 by these two.
    task.min_score, task.max_score = rows["label"].min(), rows["label"].max()
    if task.min_score == task.max_score:
        raise AscentError(f"{pairs}: all labels are {task.min_score}; a correlation needs different ones.")
    columns = {"sentence1": rows["query"], "sentence2": rows["positive"], "score": rows["label"]}
    data = Dataset.from_dict({name: column.to_list() for name, column in columns.items()})
    task.dataset = {"default": DatasetDict({options.split: data})}


_FILL = {
    "retrieval": _fill_retrieval,
    "reranking": _fill_reranking,
    "classification": _fill_classification,
    "clustering": _fill_clustering,
    "sts": _fill_sts,
}
