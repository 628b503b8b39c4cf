"""The train split of a task that mteb knows, or another of its splits, loaded by mteb's own code from files of this
machine."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.readers import Mteb
from ...settings.tables import Columns
from ..judgements import judged_rows
from ..rows import Rows, pairs_of, rows_made
from . import Rejected

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


def read(folder: Path, settings: Mteb) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of each subset, split by split; before those of retrieval the documents of the split.

    Raises AscentError if mteb cannot load the files, or the task has no such split.
    """
    task = _loaded(folder, settings)
    for subset in task.hf_subsets:
        splits = task.dataset.get(subset, task.dataset)
        for split, name in settings.splits_of.items():
            if name not in splits:
                has = ", ".join(map(str, splits)) or "none"
                raise AscentError(f"{folder}: {settings.task} has no split '{name}', but {has}; fix `splits_of`.")
            if isinstance(splits[name], dict):  # of retrieval: queries, documents, and which answer which
                yield from _judged(splits[name], name, split, settings)
            else:
                columns = _columns(task, settings.classes)
                make = partial(pairs_of, columns=columns, task=settings.task_type(), split=split)
                yield from rows_made(_rows(splits[name], columns, name), make, split)


def _loaded(folder: Path, settings: Mteb) -> "AbsTask":
    """Return mteb's task with the data of a folder in place of the hub's."""
    import mteb

    from ..json_for_datasets import read_by_rows

    task = mteb.get_task(settings.task, hf_subsets=settings.subsets, eval_splits=list(settings.splits_of.values()))
    if task.is_aggregate:
        raise AscentError(f"{settings.task}: is several tasks of mteb together; name one of them.")
    there = {**task.metadata.dataset, "path": str(folder.resolve())}
    task.metadata = task.metadata.model_copy(update={"dataset": there})
    try:
        with read_by_rows():
            task.load_data()
        if hasattr(task, "convert_v1_dataset_format_to_v2"):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
    except AscentError:
        raise
    except Exception as error:  # whatever a task's own code may raise: the fix is the same
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise AscentError(
            f"{folder}: mteb cannot load {settings.task} from it ({type(error).__name__}: {reason}); give it the files"
            " of the task's data set, with its README.md, by `source: {type: mteb_task}`."
        ) from error
    return task


def _judged(data: dict[str, Any], name: str, split: str, settings: Mteb) -> Iterator[Pair | Document | Rejected]:
    judged = ((query, *each) for query, grades in sorted(data["relevant_docs"].items()) for each in grades.items())
    qrels = (
        (f"{name} qrels:{number}", dict(zip(("query", "document", "grade"), row, strict=True)))
        for number, row in enumerate(judged, 1)
    )
    queries, documents = (
        ((f"{name} {part}:{number}", row) for number, row in enumerate(_decoded(data[part]), 1))
        for part in ("queries", "corpus")
    )
    yield from judged_rows(settings, queries, documents, {split: qrels})


def _columns(task: "AbsTask", classes: str | None) -> Columns:
    """Return the columns of a task's rows, by mteb's names for them."""
    kind = task.metadata.type
    if kind in ("STS", "BitextMining"):
        first, second = getattr(task, "column_names", ("sentence1", "sentence2"))
        return Columns(query=first, positive=second, label="score" if kind == "STS" else None)
    if kind == "PairClassification":
        return Columns(query=task.input1_column_name, positive=task.input2_column_name, label=task.label_column_name)
    return Columns(query=task.input_column_name, positive=classes or task.label_column_name)


def _rows(data: Any, columns: Columns, name: str) -> Rows:
    """Yield rows; those that are lists, as of older clusterings, are taken apart."""
    wanted = [column for column in (columns.query, columns.positive, columns.label) if column]
    wrong = f"lists of other lengths than {wanted[0]}"
    number = 0
    for row in _decoded(data):
        if isinstance(row, str):
            number += 1
            yield f"{name}:{number}", row
            continue
        cells = [row.get(column) for column in wanted]
        lists = all(isinstance(cell, list) for cell in cells)
        whole = not lists or len(set(map(len, cells))) == 1
        for each in zip(*cells, strict=True) if lists and whole else [cells]:
            number += 1
            yield (
                f"{name}:{number}",
                dict(zip(wanted, each, strict=True)) if whole else wrong,
            )


def _decoded(data: Any) -> Iterator[dict[str, Any] | str]:
    """Yield the rows of a data set of `datasets`; for one with a text that is not UTF-8, which parquet may hold, those
    words. (datasets itself would stop there.)"""
    import datasets

    mixed = [name for name, feature in data.features.items() if isinstance(feature, datasets.Json)]
    for row in data.with_format("arrow"):
        try:
            (cells,) = row.to_pylist()
            cells |= {name: json.loads(cells[name]) for name in mixed if cells[name] is not None}
        except UnicodeDecodeError:
            cells = "not valid UTF-8"
        yield cells
