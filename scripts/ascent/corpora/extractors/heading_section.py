"""Headings and the sections below them."""

from collections.abc import Iterator

from ...pairs.table import Document
from ...settings.extractors import HeadingSection
from ..cells import BadRow
from ..headings import sections
from ..passages import Cut
from . import first_passage
from .title_body import titled


def heading_section(document: Document, settings: HeadingSection, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield each heading with its section, or the section's first passage; no heading without text before the next
    one."""
    title = titled(document)[0] if settings.with_title else ""
    below = [section for section in sections(document.text) if section.heading]
    if not below:
        raise BadRow("it has no headings")
    found = [(section.heading, document.text[section.begin : section.end]) for section in below]
    if not any(text.strip() for _, text in found):
        raise BadRow("its headings have no text below them")
    for heading, text in found:
        if text.strip():
            yield heading if heading == title or not title else f"{title} {heading}", first_passage(text, cut)
