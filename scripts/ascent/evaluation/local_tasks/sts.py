"""STS: similarities of pairs of texts are correlated with their labels."""

from collections.abc import Iterator

import polars as pl

from ...errors import AscentError
from ...pairs.parquet import named
from ...pairs.text import text_id
from ...settings.evaluation import Sts
from . import Tables, rows_of

CATEGORY, MAIN_SCORE = "t2t", "cosine_spearman"
UNITS = "pairs"
METRICS = {"cosine_spearman": "Spearman", "spearman": "Spearman", "pearson": "Pearson"}


def texts(task: Sts, tables: Tables) -> list[tuple[str, pl.Series]]:
    """Return both texts of the pairs."""
    rows = rows_of(task, tables.pairs)
    return [("query", rows["query"]), ("query", rows["positive"])]


def mteb_class() -> type:
    """Return mteb's class."""
    from mteb.abstasks import AbsTaskSTS

    return AbsTaskSTS


def fill(mteb_task, task: Sts, tables: Tables) -> None:
    """Fill mteb's task with pairs and labels. Raises AscentError for a missing label, and when all labels are equal."""
    from datasets import Dataset, DatasetDict

    rows = rows_of(task, tables.pairs)
    unlabelled = rows.filter(pl.col("label").is_null() | pl.col("label").is_nan())
    if not unlabelled.is_empty():
        raise AscentError(
            f"{named(tables.pairs)}: the pair of the query {unlabelled['query'][0]!r} has no label; add one or remove"
            " the pair."
        )
    # mteb scales the labels to 0..1 by these two.
    mteb_task.min_score, mteb_task.max_score = rows["label"].min(), rows["label"].max()
    if mteb_task.min_score == mteb_task.max_score:
        raise AscentError(
            f"{named(tables.pairs)}: all labels are {mteb_task.min_score}, so no correlation is defined; add other"
            " labels."
        )
    columns = {"sentence1": rows["query"], "sentence2": rows["positive"], "score": rows["label"]}
    data = Dataset.from_dict({name: column.to_list() for name, column in columns.items()})
    mteb_task.dataset = {"default": DatasetDict({task.split: data})}


def units(mteb_task, observed: dict, split: str, subset: str) -> Iterator[tuple]:
    """Yield the similarity, the label and the texts of each pair; nothing when the main score is not a correlation."""
    metric = mteb_task.metadata.main_score
    if metric.endswith(("spearman", "pearson")):
        similarities = observed["cosine_scores" if metric.startswith("cosine") else "similarity_scores"]
        data = mteb_task.dataset.get(subset, mteb_task.dataset)[split]
        pairs = zip(*(data[column] for column in mteb_task.column_names), strict=True)
        for i, (similarity, label, pair) in enumerate(zip(similarities, data["score"], pairs, strict=True)):
            yield str(i), similarity, label, [text_id(text) for text in pair]
