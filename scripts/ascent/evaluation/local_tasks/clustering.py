"""Clustering: texts are clustered, and the clusters are compared with their labels."""

from collections.abc import Iterator

import polars as pl

from ...settings.evaluation import Clustering
from . import Tables, check_labels, rows_of

CATEGORY, MAIN_SCORE = "t2c", "v_measure"
UNITS = "texts"
METRICS = {"v_measure": "V-measure"}


def texts(task: Clustering, tables: Tables) -> list[tuple[str, pl.Series]]:
    """Return the texts."""
    return [("query", rows_of(task, tables.pairs)["query"])]


def mteb_class() -> type:
    """Return mteb's class."""
    from mteb.abstasks import AbsTaskClustering

    return AbsTaskClustering


def fill(mteb_task, task: Clustering, tables: Tables) -> None:
    """Fill mteb's task with texts and labels. Raises AscentError when the labels tell no groups apart."""
    from datasets import Dataset, DatasetDict

    rows = rows_of(task, tables.pairs)
    check_labels(rows, tables.pairs)
    # mteb embeds all texts, then clusters samples of this size, drawn with replacement.
    mteb_task.max_fraction_of_documents_to_embed = None
    mteb_task.max_documents_per_cluster = len(rows)
    columns = {"sentences": rows["query"].to_list(), "labels": rows["positive"].to_list()}
    mteb_task.dataset = {"default": DatasetDict({task.split: Dataset.from_dict(columns)})}


def units(mteb_task, observed, split: str, subset: str) -> Iterator[tuple]:
    """Yield nothing: a V-measure is not a mean over texts."""
    yield from ()
