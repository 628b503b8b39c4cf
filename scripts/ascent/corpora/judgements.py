"""Relevance judgements, queries and documents made into pairs, whichever files they stand in.

Judgements, and of run files as many documents as become negatives, are in memory; texts are on disk. Each judgement
makes a pair, is a negative of its query's pairs, or is set aside. Queries and documents are looked up: those that are
not judged make no pair, and every document is in the pool of each split."""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import AscentError
from ..pairs.table import Document, Pair
from ..settings.readers import Judged, JudgedFiles
from .cells import BadRow, is_none, usable_id, usable_number, usable_text
from .readers import Rejected, as_read
from .rows import Rows, bare_rows, rows_made
from .texts_by_id import TextsById

# Of each query the judged documents, each with its grade and place; and the best of a run, each with its rank and
# place.
Grades = dict[str, dict[str, tuple[int, str]]]
Ranked = dict[str, list[tuple[int, str, str]]]


def judged_rows(
    settings: Judged,
    queries: Rows,
    documents: Rows,
    qrels: dict[str, Rows],
    runs: Mapping[str, Rows] = MappingProxyType({}),
    triples: Mapping[str, Rows] = MappingProxyType({}),
) -> Iterator[Pair | Document | Rejected]:
    """Yield the documents of each split's pool, then the pairs split by split.

    Cells of queries and documents: id, text, and documents' title; all others hold ids. Of qrels: query, document,
    grade. Of runs: query, document, rank. Of triples: query, positive, negative. Raises AscentError as the rows do."""
    (part, parts), aside = settings.part, []
    grades: dict[str, Grades] = {}
    for split, rows in qrels.items():
        grades[split] = _grades(rows, split, aside)
    ranked: dict[str, Ranked] = {}
    for split, rows in runs.items():
        ranked[split] = _ranked(rows, grades.get(split, {}), settings.negatives, split, aside)
    yield from aside if part == 0 else ()
    _refuse_empty_parts(grades, parts)
    grades = {split: _slice(found, part, parts) for split, found in grades.items()}
    named = {document for found in grades.values() for judged in found.values() for document in judged}
    runs_of = (run for split, found in ranked.items() for query, run in found.items() if query in grades[split])
    named |= {document for run in runs_of for _, document, _ in run}
    with TextsById("query") as asked, TextsById("document") as texts:
        for _, cells in queries:
            _keep(cells, asked)
        pool = _pool(documents, texts, None if triples else named, list(dict.fromkeys((*qrels, *triples))))
        # Without its rows, but not without its texts.
        yield from (row for row in pool if part == 0)
        for split, found in grades.items():
            for query, judged in found.items():
                yield from _pairs(query, judged, ranked.get(split, {}).get(query, []), asked, texts, split, settings)
        for split, rows in triples.items():
            yield from rows_made(rows, lambda cells, split=split: [_triple(cells, asked, texts, split)], split)


def _refuse_empty_parts(grades: dict[str, Grades], parts: int) -> None:
    if parts > 1 and (most := max(map(len, grades.values()), default=0)) < parts:
        raise AscentError(f"`parts` is {parts}, but at most {most} queries of a split are judged; lower it.")


def _slice(grades: Grades, part: int, parts: int) -> Grades:
    begin, end = (len(grades) * number // parts for number in (part, part + 1))
    return dict(islice(grades.items(), begin, end))


def run_rows(folder: Path, settings: JudgedFiles) -> dict[str, Rows]:
    """Return the lines of run files by split, in the form of trec_eval or of MS MARCO."""
    names = (("query", "Q0", "document", "rank", "score", "tag"), ("query", "document", "rank"))
    return {split: bare_rows(folder, patterns, *names) for split, patterns in settings.runs.items()}


def document_text(cells: dict[str, Any]) -> str:
    """Return a document's title and text as one. Raises BadRow if it has neither."""
    parts = [usable_text(cells[name], name) for name in ("title", "text") if not is_none(cells.get(name))]
    if not parts:
        raise BadRow("no document")
    return " ".join(parts)


def _keep(cells: dict[str, Any] | str, texts: TextsById) -> None:
    """Add a query to those that are looked up. One that cannot be used is missed, and counted, by its judgements."""
    try:
        if isinstance(cells, dict):
            texts.add(usable_id(cells.get("id"), "id"), usable_text(cells.get("text"), "query"))
    except BadRow:
        pass


def _pool(
    documents: Rows, texts: TextsById, named: set[str] | None, splits: list[str]
) -> Iterator[Document | Rejected]:
    """Yield each document once per split, and keep the texts of those named, or of all."""
    for where, cells in documents:
        try:
            if isinstance(cells, str):
                raise BadRow(cells)
            id, text = usable_id(cells.get("id"), "document's id"), document_text(cells)
        except BadRow as reason:
            yield from (Rejected(where, str(reason), f"{split} documents", as_read(cells)) for split in splits)
            continue
        if named is None or id in named:
            texts.add(id, text)
        yield from (Document(text, split, origin=id) for split in splits)


def _grades(rows: Rows, split: str, aside: list[Rejected]) -> Grades:
    """Return the judgements; add those that are set aside to `aside`."""
    found: Grades = {}
    for where, cells in rows:
        try:
            if isinstance(cells, str):
                raise BadRow(cells)
            query = usable_id(cells.get("query"), "query's id")
            document = usable_id(cells.get("document"), "document's id")
            grade = usable_number(cells.get("grade"), "grade")
            if grade != int(grade):
                raise BadRow("grade is not a whole number")
            judged = found.setdefault(query, {})
            if document in judged:
                raise BadRow("judged before")
            judged[document] = int(grade), where
        except BadRow as reason:
            aside.append(Rejected(where, str(reason), split, as_read(cells)))
    return found


def _ranked(rows: Rows, grades: Grades, most: int, split: str, aside: list[Rejected]) -> Ranked:
    """Return the best documents of each judged query that are not judged themselves; add lines that rank none to
    `aside`."""
    found: Ranked = {}
    for where, cells in rows:
        try:
            if isinstance(cells, str):
                raise BadRow(cells)
            query, document = usable_id(cells["query"], "query's id"), usable_id(cells["document"], "document's id")
            if not (cells["rank"].isdecimal() and len(cells["rank"]) < 18):
                raise BadRow("rank is not a number")
            rank = int(cells["rank"])
        except BadRow as reason:
            aside.append(Rejected(where, str(reason), split, as_read(cells)))
            continue
        if query in grades and document not in grades[query]:
            best = found.setdefault(query, [])
            insort(best, (rank, document, where))
            del best[most:]
    return found


def _pairs(
    query: str,
    judged: dict[str, tuple[int, str]],
    run: Iterable[tuple[int, str, str]],
    asked: TextsById,
    texts: TextsById,
    split: str,
    settings: Judged,
) -> Iterator[Pair | Rejected]:
    """Yield the pairs of a query, and its judgements that are set aside."""
    try:
        question = asked.text(query)
    except BadRow as reason:
        yield from (Rejected(where, str(reason), split, _named(query, id)) for id, (_, where) in judged.items())
        return
    found = {}
    for places in (judged.items(), ((document, (None, where)) for _, document, where in run)):
        for document, (_, where) in places:
            try:
                found[document] = texts.text(document)
            except BadRow as reason:
                yield Rejected(where, str(reason), split, _named(query, document))
    positives = {id: grade for id, (grade, _) in judged.items() if grade >= settings.min_grade and id in found}
    if not positives:
        why = f"its query has no usable document of grade {settings.min_grade} or above"
        yield from (Rejected(where, why, split, _named(query, id)) for id, (_, where) in judged.items() if id in found)
        return
    answers = {found[document] for document in positives}
    others = dict.fromkeys(
        text for document, text in found.items() if document not in positives and text not in answers
    )
    negatives = tuple(islice(others, settings.negatives))
    for document, grade in positives.items():
        yield Pair(
            question,
            found[document],
            negatives,
            float(grade) if split in settings.graded else None,
            split=split,
            origin=document,
        )


def _named(query: str, document: str) -> str:
    return as_read({"query": query, "document": document})


def _triple(cells: dict[str, str], asked: TextsById, texts: TextsById, split: str) -> Pair:
    query, positive, negative = (usable_id(cells[name], f"{name}'s id") for name in ("query", "positive", "negative"))
    return Pair(asked.text(query), texts.text(positive), (texts.text(negative),), split=split, origin=positive)
