"""Columns that hold identifiers where texts are expected, as relevance judgements and embedded tables do."""

import re
from collections import Counter
from collections.abc import Sequence

from ..pairs.table import Document, Pair

# One word of ASCII with a digit in it: a number, a UUID, `doc_17`, `D1234.s3`.
_IDENTIFIER = re.compile(r"(?=\D*\d)[\w.:/#-]+", re.ASCII)


class Identifiers:
    """Counts, kind by kind, the texts that look like ids. (Classes may be numbers.)"""

    def __init__(self):
        self._texts: Counter[str] = Counter()
        self._alike: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, pairs: Sequence[Pair], documents: Sequence[Document]) -> None:
        """Count the texts of some rows."""
        texts = {
            "queries": [pair.query for pair in pairs],
            "positives": [pair.positive for pair in pairs if pair.task != "classification"],
            "negatives": [text for pair in pairs for text in pair.negatives],
            "documents": [document.text for document in documents],
        }
        for kind, found in texts.items():
            alike = [text for text in found if _IDENTIFIER.fullmatch(text)]
            self._texts[kind] += len(found)
            self._alike[kind] += len(alike)
            if alike:
                self._first.setdefault(kind, alike[0])

    def told(self, where: str) -> list[str]:
        """Return a sentence for each kind of text of which most look like ids."""
        return [
            f"{where}: most {kind} look like ids ({self._alike[kind]} of {count}, first '{self._first[kind][:60]}');"
            " name columns with texts if these are not."
            for kind, count in self._texts.items()
            if 2 * self._alike[kind] > count
        ]
