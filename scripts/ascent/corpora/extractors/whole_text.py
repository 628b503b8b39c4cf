"""Documents, or their passages, as pairs of a text with itself."""

from collections.abc import Iterator

from ...pairs.table import Document
from ...settings.extractors import WholeText
from ..passages import Cut


def whole_text(document: Document, settings: WholeText, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield each passage twice."""
    for begin, end in cut(document.text):
        yield document.text[begin:end], document.text[begin:end]
