"""How pairs are made of documents, or of other rows: one module per extractor. Settings are those of
settings/extractors.py.

An extractor of documents is a function of its name,

    title_body(document, settings, cut)    yield (query, positive)

with the document's text as it was read, lines included, and `cut`, which returns a text's passages as spans. What it
yields is brought into one form afterwards. An extractor of rows is

    graded_pairs(row, settings)    yield Pair

or, if it needs other rows, a class of its name,

    NliTriples(settings)    add(row), once per row, and finish(), which yields Pair, or Unused for a row without one

whose memory is bounded, and whose results are the same in any order of rows. An extractor draws by ../draws.py. It
raises BadRow for a document or row that it makes nothing of: this is counted, with the reason."""

from dataclasses import dataclass

from ..passages import Cut


@dataclass(frozen=True, slots=True)
class Unused:
    """A row that no pair was made of: why, and its text."""

    reason: str
    text: str


def first_passage(text: str, cut: Cut) -> str:
    """Return a text's first passage."""
    begin, end = cut(text)[0]
    return text[begin:end]
