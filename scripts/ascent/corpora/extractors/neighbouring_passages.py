"""Passages that follow each other in a document."""

from collections.abc import Iterator
from itertools import pairwise

from ...pairs.table import Document
from ...settings.extractors import NeighbouringPassages
from ..cells import BadRow
from ..passages import Cut


def neighbouring_passages(document: Document, settings: NeighbouringPassages, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield each passage with what the next one adds to it."""
    spans = cut(document.text)
    if len(spans) < 2:
        raise BadRow("it is one passage")
    for (begin, end), (_, last) in pairwise(spans):
        yield document.text[begin:end], document.text[end:last]
