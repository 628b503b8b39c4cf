"""PyLate's form for distillation, as LightOn's data sets have it: tables of queries (query_id, query), of documents
(document_id, document), and of rows (query_id, document_ids, scores), by ids of the whole corpus or of each source.

Which document is the positive the form leaves open: in lightonai/embeddings-fine-tuning it is the first, in
cross-encoder/lightonai-embeddings-fine-tuning-reranked-v1 those of the column `positive_ids`."""

import glob
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from ...pairs.table import Pair
from ...settings.readers import Pylate
from ..cells import BadRow, usable_id, usable_number, usable_text
from ..rows import rows_made, table_rows
from ..texts_by_id import TextsById
from . import Rejected, matching_files, shared_files


def read(folder: Path, settings: Pylate) -> Iterator[Pair | Rejected]:
    """Yield the pairs source by source, and of each split by split."""
    files = [
        (source, split, path)
        for source in settings.sources or [""]
        for split, patterns in settings.pairs.items()
        for pattern in settings.of_source(patterns, source)
        for path in matching_files(folder, pattern)
    ]
    part, parts = settings.part
    files = files[shared_files([path for *_, path in files], part, parts)]
    wanted = ["query_id", "document_ids", settings.scores, *([settings.positives] if settings.positives else [])]
    for source, of_source in groupby(files, key=lambda file: file[0]):
        with TextsById("query") as queries, TextsById("document") as documents:
            _keep(folder, settings.of_source(settings.queries, source), "query", queries)
            _keep(folder, settings.of_source(settings.documents, source), "document", documents)
            for _, split, path in of_source:
                rows = table_rows(path.parent, [glob.escape(path.name)], wanted, "fix `scores`, `positives`")
                of_row = partial(
                    _pairs, queries=queries, documents=documents, settings=settings, split=split, source=source
                )
                yield from rows_made(rows, of_row, split)


def share(folder: Path, settings: Pylate, part: int, parts: int) -> Pylate:
    """Return the settings of one part's files of rows. Each part looks texts up in all files of its sources."""
    return settings.of_part(part, parts)


def _keep(folder: Path, patterns: list[str], what: str, texts: TextsById) -> None:
    """Add the texts of a table. One that cannot be used is missed, and counted, by the rows that name it."""
    for _, cells in table_rows(folder, patterns, [f"{what}_id"], "use another reader"):
        try:
            if isinstance(cells, dict):
                text = usable_text(cells.get(what, cells.get("text")), what)
                texts.add(usable_id(cells.get(f"{what}_id"), f"{what}'s id"), text)
        except BadRow:
            pass


def _pairs(
    cells: dict[str, Any], queries: TextsById, documents: TextsById, settings: Pylate, split: str, source: str
) -> list[Pair]:
    """Return a row's pairs, one per positive, whose origin is the source or, without sources, the positive's id. Raises
    BadRow if a text or a score cannot be used."""
    query = queries.text(usable_id(cells.get("query_id"), "query's id"))
    scores = _scores(cells, settings.scores)
    positives = _ids(cells, settings.positives, "positive") if settings.positives else [next(iter(scores))]
    if not scores.keys() >= {*positives}:
        raise BadRow("a positive without a score")
    answers = {id: documents.text(id) for id in positives}
    others = sorted((id for id in scores if id not in answers), key=scores.__getitem__, reverse=True)
    pairs = []
    for id, positive in answers.items():
        chosen = _negatives(others, scores, scores[id], {*answers.values()}, documents, settings)
        kept = scores[id], *(scores[other] for other in chosen.values())
        pairs.append(Pair(query, positive, tuple(chosen), split=split, scores=kept, origin=source or id))
    return pairs


def _negatives(
    others: list[str],
    scores: dict[str, float],
    positive: float,
    answers: set[str],
    documents: TextsById,
    settings: Pylate,
) -> dict[str, str]:
    """Return the texts of a pair's negatives, each with its id. others: ids of what is no positive, best first."""
    chosen: dict[str, str] = {}
    for id in others:
        if len(chosen) == settings.negatives:
            break
        if scores[id] <= settings.max_share_of_positive * positive and (text := documents.text(id)) not in answers:
            chosen.setdefault(text, id)
    return chosen


def _scores(cells: dict[str, Any], column: str) -> dict[str, float]:
    """Return the score of each document of a row, in the row's order. Of one that is named twice the first counts."""
    ids, numbers = _ids(cells, "document_ids", "document"), cells.get(column)
    if not isinstance(numbers, list) or len(numbers) != len(ids):
        raise BadRow("not one score per document")
    scores: dict[str, float] = {}
    for id, number in zip(ids, numbers, strict=True):
        scores.setdefault(id, usable_number(number, "score"))
    return scores


def _ids(cells: dict[str, Any], column: str, what: str) -> list[str]:
    ids = cells.get(column)
    if not isinstance(ids, list) or not ids:
        raise BadRow(f"no {what}")
    return [usable_id(id, f"{what}'s id") for id in ids]
