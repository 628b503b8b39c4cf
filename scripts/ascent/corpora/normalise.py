"""A retrieved corpus in one form: rows are read, counted, or set aside, a batch at a time."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..components import module_of
from ..errors import AscentError
from ..pairs.earlier import repeated_rows
from ..pairs.parquet import read_batches, writing
from ..pairs.table import DOCUMENT_SCHEMA, SCHEMA, Document, Pair, document_frame, pair_frame
from ..settings.corpora import Reading
from ..settings.evaluation import SEARCHED
from .cells import BadRow
from .extraction import Extraction, whole_extraction
from .identifiers import Identifiers
from .markup import without_html
from .readers import Rejected, as_read

EXAMPLES = 5
# Of many reasons, how many a sentence names.
_REASONS = 3
# Reasons quote what a row holds: this many are distinguished, by this many characters, or each row would have its own.
_DIFFERENT, _LONGEST = 100, 300
# As many bad rows stop nothing: a share of a handful of rows says little.
_FEW = 10
# Of the rows set aside as many are kept, for each reason, to be read.
SET_ASIDE_ROWS = 1000
SET_ASIDE_SCHEMA = pa.schema([(name, pa.string()) for name in ("reason", "part", "where", "row")])
# Rows and characters of a batch.
_ROWS, _CHARACTERS = 10_000, 64_000_000


def normalise(
    name: str,
    corpus: Reading,
    folder: Path,
    pairs: Path,
    documents: Path,
    set_aside: Path,
    *,
    tokenizer: Path | None = None,
    part: int = 0,
    parts: int = 1,
) -> dict:
    """Read one part of a retrieved corpus. Write its pairs, of which a corpus of texts alone has none, and its
    documents, each text once per split; also some of the rows set aside, which stay if there are too many. Return an
    audit of these.

    tokenizer: that of the corpus's passages, if they are measured in tokens. The audit's `warnings` are sentences for
    the user. Raises AscentError if a split or its documents have no usable row, or more rows than `max_rejected` are
    set aside, and if the corpus cannot be divided into that many parts."""
    if parts > 1:
        corpus = _share(name, corpus, folder, part, parts)
    counts, rejected, pooled = {"pairs": Counter(), "documents": Counter()}, _Rejections(), False
    extraction, identifiers = Extraction(corpus, tokenizer), Identifiers()
    scratch = documents.with_name(f".all-{documents.name}")
    try:
        with writing(pairs, SCHEMA) as add_pairs, writing(scratch, DOCUMENT_SCHEMA) as add_documents:
            with writing(set_aside, SET_ASIDE_SCHEMA) as add_set_aside:
                for rows in _batches(extraction.rows(_rows(corpus, folder))):
                    of_kind: dict[type, list] = {Pair: [], Document: [], Rejected: []}
                    for row in rows:
                        of_kind[type(row)].append(row)
                    add_set_aside(rejected.add(of_kind[Rejected]))
                    identifiers.add(of_kind[Pair], of_kind[Document])
                    positives = [
                        Document(pair.positive, pair.split, origin=pair.origin)
                        for pair in of_kind[Pair]
                        if pair.task in SEARCHED
                    ]
                    counts["pairs"].update(f"{pair.split} {pair.task}" for pair in of_kind[Pair])
                    add_pairs(pair_frame(of_kind[Pair], name, corpus.language))
                    add_documents(document_frame([*of_kind[Document], *positives]))
                    pooled = pooled or bool(of_kind[Document])
            # Before anything is written: what a corpus of no use leaves looks finished.
            warnings = rejected.told(f"corpus {name}", extraction.read, corpus.max_rejected)
            if not counts["pairs"] and not pooled:
                raise AscentError(
                    f"corpus {name}: no usable row (its files are empty); fix the corpus or its `reader`."
                )
        counts["documents"] = _write_distinct(scratch, documents)
    finally:
        scratch.unlink(missing_ok=True)
    return {
        "kind": "corpus",
        "corpus": name,
        **{kind: dict(sorted(counted.items())) for kind, counted in counts.items()},
        "set_aside": dict(sorted(rejected.reasons().items())),
        "examples": dict(sorted(rejected.examples.items())),
        "warnings": warnings + identifiers.told(f"corpus {name}"),
        **({"extracted": extraction.audit} if corpus.extract else {}),
    }


def whole_audit(parts: list[dict]) -> dict:
    """Return a corpus's audit, of those of its parts in order. A document that two parts have is counted in both."""
    if len(parts) == 1:
        return parts[0]
    summed = {
        key: dict(sorted(sum((Counter(part[key]) for part in parts), Counter()).items()))
        for key in ("pairs", "documents", "set_aside")
    }
    examples: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for reason, places in part["examples"].items():
            examples[reason] = (examples[reason] + places)[:EXAMPLES]
    warnings = [sentence for part in parts for sentence in part["warnings"]]
    whole = parts[0] | summed | {"examples": dict(sorted(examples.items())), "warnings": warnings}
    if "extracted" in whole:
        whole["extracted"] = [
            whole_extraction(runs) for runs in zip(*(part["extracted"] for part in parts), strict=True)
        ]
    return whole


def _share(name: str, corpus: Reading, folder: Path, part: int, parts: int) -> Reading:
    """Return the corpus with a reader of one part's files."""
    module = module_of(corpus.reader)
    if not hasattr(module, "share"):
        raise AscentError(
            f"corpus {name}: the reader '{corpus.reader.type}' reads all of its files at once; remove `parts`."
        )
    return corpus.model_copy(update={"reader": module.share(folder, corpus.reader, part, parts)})


def _batches(rows: Iterator) -> Iterator[list]:
    """Yield rows in lists with a limit on their rows and, roughly, on their characters."""
    batch, characters = [], 0
    for row in rows:
        batch.append(row)
        if isinstance(row, Pair):
            characters += len(row.query) + len(row.positive) + sum(map(len, row.negatives))
        elif isinstance(row, Document):
            characters += len(row.text)
        if len(batch) == _ROWS or characters > _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _write_distinct(source: Path, output: Path) -> Counter[str]:
    """Write the documents of a table, each text once per split; return how many each split has."""
    repeated, start, counts = repeated_rows(source, [], ("split", "document_id")), 0, Counter()
    with writing(output, DOCUMENT_SCHEMA) as add:
        for batch in read_batches(source, DOCUMENT_SCHEMA, {"origin"}):
            first, end = repeated.searchsorted([start, start + len(batch)])
            kept = batch.with_row_index().remove(pl.col("index").is_in(repeated[first:end] - start)).drop("index")
            start += len(batch)
            counts.update(dict(kept["split"].value_counts().iter_rows()))
            add(kept)
    return counts


class _Rejections:
    """The rows set aside: how many for each reason in each split and its documents, and where the first of a reason
    are."""

    def __init__(self):
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: dict[str, list[str]] = defaultdict(list)
        self._of_reason: Counter[str] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, rows: list[Rejected]) -> pl.DataFrame:
        """Count rows; return those that are kept to be read."""
        kept = []
        for row in rows:
            short = row.reason if len(row.reason) <= _LONGEST else f"{row.reason[: _LONGEST - 1]}…"
            new = short not in self._of_reason and len(self._of_reason) >= _DIFFERENT
            reason = "other reasons" if new else short
            self.counts[row.part][reason] += 1
            self._first.setdefault((row.part, reason), row.where)
            if len(self.examples[reason]) < EXAMPLES:
                self.examples[reason].append(row.where)
            if self._of_reason[reason] < SET_ASIDE_ROWS:
                kept.append([_written(text) for text in (short, row.part, row.where, row.row)])
            self._of_reason[reason] += 1
        return pl.DataFrame(kept, dict.fromkeys(SET_ASIDE_SCHEMA.names, pl.String), orient="row")

    def reasons(self) -> Counter[str]:
        """Return how many rows were set aside for each reason."""
        return self._of_reason

    def told(self, where: str, usable: Counter[str], most: float) -> list[str]:
        """Return a sentence for each split with rows set aside. Raises AscentError for one with too many, see
        normalise."""
        told = []
        for part, reasons in self.counts.items():
            bad = reasons.total()
            named = [
                f"{count} x {why}, first at {self._first[part, why]}" for why, count in reasons.most_common(_REASONS)
            ]
            if (more := len(reasons) - _REASONS) > 0:
                named.append(f"{more} more reason{'s' if more > 1 else ''}")
            why = "; ".join(named)
            if not usable[part]:
                raise AscentError(f"{where}: no usable row of {part} ({why}); fix the corpus or its `reader`.")
            rows = bad + usable[part]
            share = bad / rows
            counted = f"{bad} of {rows} rows of {part} set aside, {share:.1%} ({why})"
            if share > most and bad > _FEW:
                raise AscentError(
                    f"{where}: {counted}, but max_rejected is {most:.1%}; fix the corpus or its `reader`, or raise"
                    " max_rejected."
                )
            told.append(f"{where}: {counted}.")
        return told


def _written(text: str) -> str:
    """Return a text as UTF-8 holds it: bytes that are not UTF-8, of a row or a file's name, are lone surrogates."""
    return text.encode(errors="backslashreplace").decode()


def _rows(corpus: Reading, folder: Path) -> Iterator[Pair | Document | Rejected]:
    """Yield the reader's rows, without HTML where the corpus is HTML."""
    for row in module_of(corpus.reader).read(folder, corpus.reader):
        if corpus.html and not isinstance(row, Rejected):
            text, part = (row.text, f"{row.split} documents") if isinstance(row, Document) else (row.query, row.split)
            try:
                row = without_html(row)
            except BadRow as reason:
                row = Rejected(repr(text[:60]), str(reason), part, as_read({"text": text}))
        yield row
