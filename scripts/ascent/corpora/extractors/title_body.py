"""Titles and what stands below them."""

from collections.abc import Iterator

from ...pairs.table import Document
from ...settings.extractors import TitleBody
from ..cells import BadRow
from ..headings import sections
from ..passages import Cut
from . import first_passage


def title_body(document: Document, settings: TitleBody, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield the title with the text; with its first passage, if it is cut."""
    title, body = titled(document)
    if not title:
        raise BadRow("it has no title")
    if not body.strip():
        raise BadRow("it is nothing but a title")
    yield title, first_passage(body, cut)


def titled(document: Document) -> tuple[str, str]:
    """Return a document's title and the text below: its own title, else the heading that it begins with, else ""."""
    beginning, *rest = sections(document.text)
    leads = bool(rest) and not document.text[beginning.begin : beginning.end].strip()
    # The title may stand in a column and above the text.
    if leads and document.title in ("", rest[0].heading):
        return rest[0].heading, document.text[rest[0].begin :]
    return document.title, document.text
