"""The inverse cloze task (Lee et al. 2019, arXiv 1906.00300): a sentence asks for its context."""

from collections.abc import Iterator

from ...pairs.draws import generator
from ...pairs.table import Document
from ...settings.extractors import QueryContext
from ..cells import BadRow
from ..passages import Cut
from ..sentences import sentences


def query_context(document: Document, settings: QueryContext, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield a drawn sentence of each passage of at least two, with the passage's other sentences."""
    several = False
    for begin, end in cut(document.text):
        passage = document.text[begin:end]
        spans = sentences(passage)
        if len(spans) < 2:
            continue
        several = True
        draw = generator(settings.seed, document.text, passage)
        first, last = draw.choice(spans)
        kept = draw.random() < settings.kept
        yield passage[first:last], passage if kept else passage[:first] + passage[last:]
    if not several:
        raise BadRow("it has no passage of two sentences")
