"""The forms of MS MARCO and TREC, none of which has a header: a collection (id, text), queries (id, text), qrels
(query, 0, document, grade), run files, and triples of a query, a positive and a negative."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.readers import Trec
from ..cells import usable_text
from ..judgements import judged_rows, run_rows
from ..rows import bare_rows, rows_made
from . import Rejected, share_of_files

TRIPLE = ("query", "positive", "negative")


def read(folder: Path, settings: Trec) -> Iterator[Pair | Document | Rejected]:
    """Yield the documents of each split's pool, then the pairs split by split."""
    rows_of = partial(bare_rows, folder, header=settings.header)
    triples = {split: rows_of(patterns, TRIPLE, tabs=True) for split, patterns in settings.triples.items()}
    if not settings.collection:
        for split, rows in triples.items():
            yield from rows_made(rows, lambda cells, split=split: [_triple(cells, split)], split)
        return
    queries = rows_of(settings.queries, ("id", "text"), tabs=True)
    documents = rows_of(settings.collection, settings.cells, tabs=True)
    names = ("query", "0", "document", "grade")
    qrels = {split: rows_of(patterns, names) for split, patterns in settings.qrels.items()}
    yield from judged_rows(settings, queries, documents, qrels, run_rows(folder, settings), triples)


def share(folder: Path, settings: Trec, part: int, parts: int) -> Trec:
    """Return the settings of one part's files of triples of texts, or of its queries: the first part has all
    documents."""
    if not settings.collection:
        return share_of_files(folder, settings, part, parts, "triples")
    if settings.triples:
        raise AscentError(f"{folder}: triples of ids are read at once; remove `parts`, or give triples of texts.")
    return settings.of_part(part, parts)


def _triple(cells: dict[str, str], split: str) -> Pair:
    query, positive, negative = (usable_text(cells[name], name) for name in TRIPLE)
    return Pair(query, positive, (negative,), split=split)
