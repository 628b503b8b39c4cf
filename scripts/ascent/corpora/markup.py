"""The texts of a corpus that is HTML, without the HTML."""

from dataclasses import replace

from ..pairs.table import Document, Pair
from ..pairs.text import clean_text
from .cells import BadRow


def without_html(row: Pair | Document) -> Pair | Document:
    """Return the row with clean texts. A negative of which nothing is left is removed, with its score.

    Raises BadRow if nothing is left of another text.
    """
    if isinstance(row, Document):
        return replace(row, text=_clean(row.text, "document"))
    negatives = [clean_text(text) for text in row.negatives]
    kept = [place for place, text in enumerate(negatives) if text]
    return replace(
        row,
        query=_clean(row.query, "query"),
        positive=_clean(row.positive, "positive"),
        negatives=tuple(negatives[place] for place in kept),
        scores=row.scores and (row.scores[0], *(row.scores[1 + place] for place in kept)),
    )


def _clean(text: str, what: str) -> str:
    cleaned = clean_text(text)
    if not cleaned:
        raise BadRow(f"{what} is nothing but HTML")
    return cleaned
