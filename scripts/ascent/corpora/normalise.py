"""A retrieved corpus in one form: rows are read, counted, or set aside."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ..components import module_of
from ..errors import AscentError
from ..pairs.table import Document, Pair, document_frame, pair_frame
from ..settings.corpora import Reading
from ..settings.evaluation import SEARCHED
from .cells import BadRow
from .extraction import Extraction
from .identifiers import told_identifiers
from .markup import without_html
from .readers import Rejected

EXAMPLES = 5
# Of many reasons, how many a sentence names.
_REASONS = 3
# As many bad rows stop nothing: a share of a handful of rows says little.
_FEW = 10


def normalise(
    name: str, corpus: Reading, folder: str | Path, tokenizer: Path | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    """Read a retrieved corpus. Return its pairs, of which a corpus of texts alone has none, its documents, and an audit of the
    rows set aside.

    tokenizer: that of the corpus's passages, if they are measured in tokens. The audit's `warnings` are sentences for the user.
    Raises AscentError if a split or its documents have no usable row, or more rows than `max_rejected` are set aside.
    """
    pairs, documents, positives, rejected = [], [], [], _Rejections()
    extraction = Extraction(corpus, tokenizer)
    for row in extraction.rows(_rows(corpus, Path(folder))):
        if isinstance(row, Rejected):
            rejected.add(row)
        elif isinstance(row, Document):
            documents.append(row)
        else:
            pairs.append(row)
            if row.task in SEARCHED:
                positives.append(Document(row.positive, row.split))
    warnings = rejected.told(f"corpus {name}", extraction.read, corpus.max_rejected)
    if not pairs and not documents:
        raise AscentError(f"corpus {name}: no usable row (its files are empty); fix the corpus or its `reader`.")
    warnings += told_identifiers(f"corpus {name}", pairs, documents)
    documents = document_frame([*documents, *positives])
    audit = {
        "kind": "corpus",
        "corpus": name,
        "pairs": _count(f"{pair.split} {pair.task}" for pair in pairs),
        "documents": _count(documents["split"]),
        "set_aside": dict(sorted(rejected.reasons().items())),
        "examples": dict(sorted(rejected.examples.items())),
        "warnings": warnings,
        **({"extracted": extraction.audit} if corpus.extract else {}),
    }
    return pair_frame(pairs, name, corpus.language), documents, audit


class _Rejections:
    """The rows set aside: how many for each reason in each part of the corpus, and where the first of a reason are."""

    def __init__(self):
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: dict[str, list[str]] = defaultdict(list)

    def add(self, row: Rejected) -> None:
        self.counts[row.part][row.reason] += 1
        if len(self.examples[row.reason]) < EXAMPLES:
            self.examples[row.reason].append(row.where)

    def reasons(self) -> Counter[str]:
        """Return how many rows were set aside for each reason."""
        return sum(self.counts.values(), Counter())

    def told(self, where: str, usable: Counter[str], most: float) -> list[str]:
        """Return a sentence for each part with rows set aside. Raises AscentError for one with too many, see normalise."""
        told = []
        for part, reasons in self.counts.items():
            bad = reasons.total()
            named = [f"{count} x {why}, first at {self.examples[why][0]}" for why, count in reasons.most_common(_REASONS)]
            why = "; ".join(named) + (f"; {len(reasons) - _REASONS} more reasons" if len(reasons) > _REASONS else "")
            if not usable[part]:
                raise AscentError(f"{where}: no usable row of {part} ({why}); fix the corpus or its `reader`.")
            rows = bad + usable[part]
            share = bad / rows
            counted = f"{bad} of {rows} rows of {part} set aside, {share:.1%} ({why})"
            if share > most and bad > _FEW:
                raise AscentError(
                    f"{where}: {counted}, but max_rejected is {most:.1%}; fix the corpus or its `reader`, or raise max_rejected."
                )
            told.append(f"{where}: {counted}.")
        return told


def _rows(corpus: Reading, folder: Path) -> Iterator[Pair | Document | Rejected]:
    """Yield the reader's rows, without HTML where the corpus is HTML."""
    for row in module_of(corpus.reader).read(folder, corpus.reader):
        if corpus.html and not isinstance(row, Rejected):
            text, part = (row.text, f"{row.split} documents") if isinstance(row, Document) else (row.query, row.split)
            try:
                row = without_html(row)
            except BadRow as reason:
                row = Rejected(repr(text[:60]), str(reason), part)
        yield row


def _count(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
