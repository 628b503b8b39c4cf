"""The test texts of a task of mteb, which must not be trained on, and the documents that its queries search in."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from mteb.abstasks import AbsTask, AbsTaskRetrieval

from ..errors import AscentError
from ..files import write_atomically
from ..pairs.table import DOCUMENT_SCHEMA, Document, Pair, document_frame, pair_frame

_BATCH = 20_000


def tested_texts(task: AbsTask) -> list[str]:
    """Return the distinct test texts of a loaded task: the queries of retrieval and reranking, else all texts of the
    evaluated splits."""
    return list(dict.fromkeys(text for part in _parts(task) for text in _texts(part) if text.strip()))


def tested_pairs(task: AbsTask) -> pl.DataFrame:
    """Return `tested_texts` as test rows of a pair table named after the task, with each text as its own positive.

    Raises AscentError for a task without texts.
    """
    texts = tested_texts(task)
    if not texts:
        raise AscentError(f"{task.metadata.name}: has no test texts, so it is not a task for a text model; remove it.")
    return pair_frame((Pair(text, text, split="test") for text in texts), task.metadata.name, "und")


def write_task_documents(path: Path, task: AbsTask) -> None:
    """Write the documents of a loaded task as a document table, batch by batch: those of retrieval and reranking, with
    title as mteb embeds them, and labels that are texts. The same text may occur twice."""
    with (
        write_atomically(path) as temporary,
        pq.ParquetWriter(temporary, DOCUMENT_SCHEMA, compression="zstd") as writer,
    ):
        for part in _parts(task):
            documents = (Document(text, "test") for text in _documents(part) if text.strip())
            while batch := list(islice(documents, _BATCH)):
                writer.write_table(document_frame(batch).to_arrow().cast(DOCUMENT_SCHEMA))


def _parts(task: AbsTask) -> list[AbsTask]:
    return task.metadata.tasks if task.is_aggregate else [task]


def _evaluated(task: AbsTask) -> Iterator:
    """Yield the data of the evaluated splits of all subsets."""
    if isinstance(task, AbsTaskRetrieval):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    for subset in task.hf_subsets:
        splits = task.dataset.get(subset, task.dataset)
        yield from (splits[split] for split in task.eval_splits)


def _texts(task: AbsTask) -> Iterator[str]:
    for data in _evaluated(task):
        if isinstance(task, AbsTaskRetrieval):
            yield from data["queries"]["text"]
            continue
        for name in set(data.column_names) - {_labels(task)}:
            for cell in data[name]:
                yield from _strings(cell)


def _documents(task: AbsTask) -> Iterator[str]:
    for data in _evaluated(task):
        if isinstance(task, AbsTaskRetrieval):
            for row in data["corpus"]:
                yield f"{row.get('title') or ''} {row['text']}".strip()
        elif _labels(task) in data.column_names:
            yield from dict.fromkeys(text for cell in data[_labels(task)] for text in _strings(cell))


def _labels(task: AbsTask) -> str:
    return getattr(task, "label_column_name", "label")


def _strings(cell) -> Iterator[str]:
    yield from (text for text in (cell if isinstance(cell, list) else [cell]) if isinstance(text, str))
