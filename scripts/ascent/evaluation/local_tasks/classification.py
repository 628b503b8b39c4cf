"""Classification: classifiers learn labels from a few embeddings of the training split."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from ...errors import AscentError
from ...pairs.parquet import named
from ...pairs.text import text_id
from ...settings.evaluation import Classification
from . import Tables, check_labels, rows_of

CATEGORY, MAIN_SCORE = "t2c", "accuracy"
UNITS = "texts"
METRICS = {}
# mteb trains 10 classifiers, each on 8 texts per label.
_DRAWN = 80


def texts(task: Classification, tables: Tables) -> list[tuple[str, pl.Series]]:
    """Return the evaluated texts, and as many training texts as mteb may draw."""
    train = rows_of(task, tables.pairs, split="train").filter(pl.int_range(pl.len()).over("positive") < _DRAWN)
    return [("query", train["query"]), ("query", rows_of(task, tables.pairs)["query"])]


def mteb_class() -> type:
    """Return mteb's class."""
    from mteb.abstasks import AbsTaskClassification

    return AbsTaskClassification


def fill(mteb_task, task: Classification, tables: Tables) -> None:
    """Fill mteb's task with the texts and labels of the training split and of the evaluated one."""
    from datasets import Dataset, DatasetDict

    train, evaluated = rows_of(task, tables.pairs, split="train"), rows_of(task, tables.pairs)
    check_labels(train, tables.pairs)
    # Numbers, because mteb's average precision of two labels takes no text.
    numbers = {label: i for i, label in enumerate(sorted(set(train["positive"])))}
    unseen = set(evaluated["positive"]) - numbers.keys()
    if unseen:
        raise AscentError(
            f"{named(tables.pairs)}: no training row has the label {min(unseen)!r}; add one, or remove the label's"
            " rows."
        )
    splits = {
        name: Dataset.from_dict(
            {"text": part["query"].to_list(), "label": [numbers[label] for label in part["positive"]]}
        )
        for name, part in {"train": train, task.split: evaluated}.items()
    }
    mteb_task.dataset = {"default": DatasetDict(splits)}


def units(mteb_task, observed: list, split: str, subset: str) -> Iterator[tuple]:
    """Yield the share of mteb's classifiers that label each text correctly, with all its labels where it has several;
    nothing when the main score is not accuracy, and where mteb draws some of the texts."""
    if mteb_task.metadata.main_score != "accuracy" or mteb_task.is_cross_validation:
        return
    data = mteb_task.dataset.get(subset, mteb_task.dataset)[split]
    texts, labels, predicted = data[mteb_task.input_column_name], data[mteb_task.label_column_name], np.array(observed)
    if len(texts) != predicted.shape[1]:
        return
    if predicted.ndim == 3:
        from sklearn.preprocessing import MultiLabelBinarizer

        correct = (predicted == MultiLabelBinarizer().fit_transform(labels)).all(axis=-1)
    else:
        correct = predicted == np.array(labels)
    for i, (text, share) in enumerate(zip(texts, correct.mean(axis=0).tolist(), strict=True)):
        yield str(i), share, None, [text_id(text)]
