"""The test texts of a task of mteb, which must not be trained on."""

from collections.abc import Iterator

import polars as pl
from mteb.abstasks import AbsTask, AbsTaskRetrieval

from ..errors import AscentError
from ..pairs.table import Pair, pair_frame


def tested_texts(task: AbsTask) -> list[str]:
    """Return the distinct test texts of a loaded task: the queries of retrieval and reranking, else all texts of the evaluated
    splits. Documents may be trained on."""
    parts = task.metadata.tasks if task.is_aggregate else [task]
    return list(dict.fromkeys(text for part in parts for text in _texts(part) if text.strip()))


def tested_pairs(task: AbsTask) -> pl.DataFrame:
    """Return `tested_texts` as test rows of a pair table named after the task, with each text as its own positive.

    Raises AscentError for a task without texts.
    """
    texts = tested_texts(task)
    if not texts:
        raise AscentError(f"{task.metadata.name}: has no test texts, so it is not a task for a text model; remove it.")
    return pair_frame((Pair(text, text, split="test") for text in texts), task.metadata.name, "und")


def _texts(task: AbsTask) -> Iterator[str]:
    if isinstance(task, AbsTaskRetrieval):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    for subset in task.hf_subsets:
        splits = task.dataset.get(subset, task.dataset)
        for split in task.eval_splits:
            if isinstance(task, AbsTaskRetrieval):
                yield from splits[split]["queries"]["text"]
                continue
            for name in set(splits[split].column_names) - {getattr(task, "label_column_name", "label")}:
                for cell in splits[split][name]:
                    yield from (text for text in (cell if isinstance(cell, list) else [cell]) if isinstance(text, str))
