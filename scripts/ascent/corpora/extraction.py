"""From the rows that a reader yields to those of the corpus: documents cut into passages, and pairs extracted."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..pairs.table import Document, Pair
from ..pairs.text import normalise_text
from ..settings.corpora import Reading
from .readers import Rejected


class Extraction:
    """A corpus's extraction while its rows stream through.

    `read` counts the rows that were read, by the part of the corpus they are of: the split, or `<split> documents`.
    """

    def __init__(self, corpus: Reading):
        self.corpus = corpus
        self.read: Counter[str] = Counter()

    def rows(self, rows: Iterable[Pair | Document | Rejected]) -> Iterator[Pair | Document | Rejected]:
        """Yield the corpus's rows: those of its reader, documents in one form."""
        for row in rows:
            if isinstance(row, Document):
                self.read[f"{row.split} documents"] += 1
                row = replace(row, text=normalise_text(row.text))
            elif isinstance(row, Pair):
                self.read[row.split] += 1
            yield row
