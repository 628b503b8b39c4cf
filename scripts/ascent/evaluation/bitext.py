"""Bitext mining: each sentence is matched with one of the other language's; mteb's F1 is a mean over sentences."""

from collections.abc import Iterator

import numpy as np

from ..pairs.text import text_id

UNITS = "pairs"
METRICS = {"f1": "F1"}


def units(mteb_task, observed: dict[str, list[dict]], split: str, subset: str) -> Iterator[tuple]:
    """Yield each pair's F1, or whether it was found; nothing when the main score is another, and where a sentence may
    have no partner.

    Each second sentence is a label with one true pair, so mteb's mean over labels is one over pairs: a pair that was
    found has F1 = 2 / (1 + how many sentences were matched with its second), any other 0."""
    data = mteb_task.dataset.get(subset, mteb_task.dataset)[split]
    metric = mteb_task.metadata.main_score
    if metric not in ("f1", "accuracy") or mteb_task.parallel_subsets or "gold" in data.column_names:
        return
    (matches,), columns = observed.values(), mteb_task._DEFAULT_PAIR[0]
    matched = np.array([match["corpus_id"] for match in matches])
    times = np.bincount(matched, minlength=len(matched))[: len(matched)]
    found = matched == np.arange(len(matched))
    scores = 2 * found / (1 + times) if metric == "f1" else found.astype(float)
    for i, (score, *pair) in enumerate(zip(scores.tolist(), *(data[column] for column in columns), strict=True)):
        yield str(i), score, None, [text_id(text) for text in pair]
