"""How the rows of a corpus become pairs and documents: one module for each form of corpus, all with

    class Options(Settings)     what config.yaml may say under `options`
    read(folder, options)       yield Pair, Document and Rejected

A row that cannot be used is yielded as Rejected, so that it is counted; what makes the whole corpus useless
(a missing file, a missing column) is an AscentError.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import polars as pl
import pyarrow as pa

from ..errors import AscentError, did_you_mean
from ..pairs import Document, document_frame, normalise_text, pair_frame
from ..source_settings import Reading
from ..validation import check

# Rows of these tasks are searched for: their positives belong to the documents of their split.
SEARCHED = ("retrieval", "reranking")
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is set aside: where it is (file:row) and what is wrong with it."""

    where: str
    reason: str


class BadRow(Exception):
    """Raised within a reader for a row that is to be set aside; the message is the reason."""


def normalise(name: str, corpus: Reading, folder: str | Path) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    """Read a retrieved corpus. Return its pairs, its documents, and an audit of the rows set aside."""
    known = [module.name for module in iter_modules(__path__)]
    if corpus.reader not in known:
        raise AscentError(f"corpus {name}: unknown reader '{corpus.reader}'; {did_you_mean(corpus.reader, known)}")
    reader = import_module(f".{corpus.reader}", __name__)
    options = check(reader.Options, corpus.options, f"corpus {name}, options of reader {corpus.reader}")

    pairs, documents, positives, reasons, examples = [], [], [], Counter(), defaultdict(list)
    for row in reader.read(Path(folder), options):
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
        raise AscentError(f"corpus {name}: no usable row ({why or 'its files are empty'}); mend the corpus or `options`.")
    documents = document_frame([*documents, *positives])
    audit = {
        "corpus": name,
        "pairs": _count(f"{pair.split} {pair.task}" for pair in pairs),
        "documents": _count(documents["split"]),
        "set_aside": dict(sorted(reasons.items())),
        "examples": dict(sorted(examples.items())),
    }
    return pair_frame(pairs, name, corpus.language), documents, audit


def usable_text(value: Any, what: str) -> str:
    """Return the value as normalised text. Raises BadRow when it is no text, or nothing but white space."""
    if value is None:
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that were no UTF-8 were read as lone surrogates
        raise BadRow(f"{what} is not valid UTF-8") from None
    text = normalise_text(value)
    if not text:
        raise BadRow(f"no {what}")
    return text


def usable_number(value: Any, what: str) -> float:
    """Return the value as a finite number. Raises BadRow when it is none."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        raise BadRow(f"{what} is not a number") from None
    if not math.isfinite(number):
        raise BadRow(f"{what} is not a finite number")
    return number


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match a glob pattern, in order of name. Raises AscentError when none does."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        raise AscentError(f"{folder}: no file '{pattern}'; {did_you_mean(pattern, held)}")
    return files


def open_bytes(path: Path) -> BufferedReader:
    """Open a file of a resource; gz, zst, bz2 and lz4 are decompressed by their suffix."""
    try:
        return BufferedReader(pa.input_stream(path, compression="detect"))
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; retrieve the corpus again or mend `options`.") from None


def read_json_rows(path: Path) -> dict[str, Any]:
    """Read a (compressed) file that is one JSON object. Raises AscentError when it is broken."""
    try:
        with open_bytes(path) as handle:
            rows = json.load(handle)
    except (OSError, ValueError) as error:
        raise AscentError(f"{path}: not a whole JSON file ({error}); retrieve the corpus again.") from None
    if not isinstance(rows, dict):
        raise AscentError(f"{path}: must hold one JSON object; check that it belongs to this reader.")
    return rows


def _count(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
