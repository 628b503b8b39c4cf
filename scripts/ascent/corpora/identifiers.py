"""Columns that hold identifiers where texts are expected, as relevance judgements and embedded tables do."""

import re
from collections.abc import Iterable

from ..pairs.table import Document, Pair

# One word of ASCII with a digit in it: a number, a UUID, `doc_17`, `D1234.s3`.
_IDENTIFIER = re.compile(r"(?=\D*\d)[\w.:/#-]+", re.ASCII)


def told_identifiers(where: str, pairs: Iterable[Pair], documents: Iterable[Document]) -> list[str]:
    """Return a sentence for each kind of text of which most look like ids. (Classes may be numbers.)"""
    texts = {
        "queries": [pair.query for pair in pairs],
        "positives": [pair.positive for pair in pairs if pair.task != "classification"],
        "negatives": [text for pair in pairs for text in pair.negatives],
        "documents": [document.text for document in documents],
    }
    told = []
    for kind, found in texts.items():
        alike = [text for text in found if _IDENTIFIER.fullmatch(text)]
        if 2 * len(alike) > len(found):
            told.append(
                f"{where}: most {kind} look like ids ({len(alike)} of {len(found)}, first '{alike[0][:60]}'); name columns with "
                "texts if these are not."
            )
    return told
