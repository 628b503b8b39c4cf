"""From the rows that a reader yields to those of the corpus: documents cut into passages, and pairs extracted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..components import code_of
from ..pairs.draws import some
from ..pairs.table import Document, Pair
from ..pairs.text import normalise_text
from ..settings.corpora import Reading
from ..settings.evaluation import SEARCHED
from ..settings.extractors import DocumentExtractor, Extractor
from .cells import BadRow
from .extractors import Unused
from .passages import Cut, cutter
from .readers import Rejected

Row = Pair | Document | Rejected
EXAMPLES = 3
_EXAMPLE_CHARACTERS = 80


class Extraction:
    """A corpus's extraction while its rows stream through.

    `read` counts the rows that were read, by the part of the corpus they are of: the split, or `<split> documents`.
    """

    def __init__(self, corpus: Reading, tokenizer: Path | None = None):
        self.read: Counter[str] = Counter()
        self._cut = cutter(corpus.passages, tokenizer)
        self._runs = [
            (_OfDocuments if isinstance(each.settings, DocumentExtractor) else _OfRows)(each.settings, self._cut)
            for each in corpus.extract
        ]

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the corpus's rows.

        A document that an extractor takes gives way to the positives of its pairs, so that no text is in the pool
        twice; else it is cut into passages. A row that an extractor takes gives way to what it makes of it. All other
        rows stay as they are."""
        for row in rows:
            if isinstance(row, Rejected):
                yield row
                continue
            self.read[f"{row.split} documents" if isinstance(row, Document) else row.split] += 1
            takers = [run for run in self._runs if run.takes(row)]
            made = [pair for run in takers for pair in run.made_of(row)]
            # Documents before the pairs that hold the same text: the first of a text is kept, and only these lead back
            # to a passage.
            if isinstance(row, Document):
                yield from _pool(row, made, self._cut)
            elif not takers:
                yield row
            yield from made
        for run in self._runs:
            yield from run.finish()

    @property
    def audit(self) -> list[dict[str, Any]]:
        """What each extractor took and made. `taken` are the rows that it used or left out, for a reason."""
        return [run.audit for run in self._runs]


def whole_extraction(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return an extractor's audit, of those of a corpus's parts in order."""
    first, *others = parts
    whole = first | {
        "left_out": dict(first["left_out"]),
        "examples": {why: [*texts] for why, texts in first["examples"].items()},
    }
    for part in others:
        whole |= {key: whole[key] + part[key] for key in ("taken", "used", "pairs")}
        whole["left_out"] = dict(sorted((Counter(whole["left_out"]) + Counter(part["left_out"])).items()))
        for why, texts in part["examples"].items():
            whole["examples"][why] = (whole["examples"].get(why, []) + texts)[:EXAMPLES]
    return whole


def _pool(document: Document, pairs: list[Pair], cut: Cut) -> Iterator[Document]:
    """Yield what stands for a document among those that queries are searched in, with its origin."""
    if pairs:
        texts = dict.fromkeys(pair.positive for pair in pairs if pair.task in SEARCHED)
        yield from (replace(document, text=text, title="") for text in texts)
        return
    spans = cut(document.text)
    for begin, end in spans:
        if text := normalise_text(document.text[begin:end]):
            where = f"{document.origin}#char={begin},{end}" if document.origin and len(spans) > 1 else document.origin
            yield replace(document, text=text, title="", origin=where)


class _Run:
    """An extractor at work, and what it counted."""

    def __init__(self, settings: Extractor, cut: Cut):
        self.settings, self._cut = settings, cut
        self._code = code_of(settings)
        self._taken = self._used = self._pairs = 0
        self._left_out: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)

    @property
    def audit(self) -> dict[str, Any]:
        return {
            "extractor": self.settings.component(),
            "taken": self._taken,
            "used": self._used,
            "left_out": dict(sorted(self._left_out.items())),
            "pairs": self._pairs,
            "examples": dict(sorted(self._examples.items())),
        }

    def _leave_out(self, reason: str, text: str) -> None:
        self._left_out[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(normalise_text(text[: 2 * _EXAMPLE_CHARACTERS])[:_EXAMPLE_CHARACTERS])

    def finish(self) -> Iterator[Pair]:
        """Yield what waited for other rows."""
        return iter(())


class _OfDocuments(_Run):
    def takes(self, row: Pair | Document) -> bool:
        return isinstance(row, Document) and row.split in self.settings.splits

    def made_of(self, document: Document) -> list[Pair]:
        """Return the pairs of a document, with texts in one form."""
        self._taken += 1
        settings = self.settings
        try:
            texts = [tuple(map(normalise_text, pair)) for pair in self._code(document, settings, self._cut)]
            texts = [pair for pair in texts if all(pair)]
            if not texts:
                raise BadRow("its texts are empty")
        except BadRow as reason:
            self._leave_out(str(reason), document.text)
            return []
        self._used += 1
        texts = some(texts, settings.per_document, settings.seed, document.text)
        self._pairs += len(texts)
        return [Pair(*pair, task=settings.task, split=document.split, origin=document.origin) for pair in texts]


class _OfRows(_Run):
    def __init__(self, settings: Extractor, cut: Cut):
        super().__init__(settings, cut)
        if settings.needs_others:
            self._code = self._code(settings)

    def takes(self, row: Pair | Document) -> bool:
        return isinstance(row, Pair) and row.split in self.settings.splits and row.task in self.settings.rows

    def made_of(self, row: Pair) -> list[Pair]:
        """Return the pairs of a row; none yet, if it must wait for others."""
        self._taken += 1
        try:
            if self.settings.needs_others:
                self._code.add(row)
                pairs = []
            else:
                pairs = list(self._code(row, self.settings))
        except BadRow as reason:
            self._leave_out(str(reason), row.query)
            return []
        self._used += 1
        self._pairs += len(pairs)
        return pairs

    def finish(self) -> Iterator[Pair]:
        if not self.settings.needs_others:
            return
        for row in self._code.finish():
            if isinstance(row, Unused):
                self._used -= 1
                self._leave_out(row.reason, row.text)
            else:
                self._pairs += 1
                yield row
