"""A retrieved corpus in one form: rows are read, counted, or set aside."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ..components import module_of
from ..errors import AscentError
from ..pairs.table import Document, document_frame, pair_frame
from ..settings.corpora import Reading
from ..settings.evaluation import SEARCHED
from .readers import Rejected

EXAMPLES = 5


def normalise(name: str, corpus: Reading, folder: str | Path) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    """Read a retrieved corpus. Return its pairs, its documents, and an audit of the rows set aside."""
    pairs, documents, positives, reasons, examples = [], [], [], Counter(), defaultdict(list)
    for row in module_of(corpus.reader).read(Path(folder), corpus.reader):
        if isinstance(row, Rejected):
            reasons[row.reason] += 1
            if len(examples[row.reason]) < EXAMPLES:
                examples[row.reason].append(row.where)
        elif isinstance(row, Document):
            documents.append(row)
        else:
            pairs.append(row)
            if row.task in SEARCHED:
                positives.append(Document(row.positive, row.split))
    if not pairs:
        why = "; ".join(f"{count} x {reason}, first at {examples[reason][0]}" for reason, count in reasons.most_common())
        raise AscentError(f"corpus {name}: no usable row ({why or 'its files are empty'}); fix the corpus or its `reader`.")
    documents = document_frame([*documents, *positives])
    audit = {
        "kind": "corpus",
        "corpus": name,
        "pairs": _count(f"{pair.split} {pair.task}" for pair in pairs),
        "documents": _count(documents["split"]),
        "set_aside": dict(sorted(reasons.items())),
        "examples": dict(sorted(examples.items())),
    }
    return pair_frame(pairs, name, corpus.language), documents, audit


def _count(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
