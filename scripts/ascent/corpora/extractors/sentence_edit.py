"""Sentences and their edited versions, of two versions of a text."""

from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher

from ...pairs.table import Pair
from ...settings.extractors import SentenceEdit
from ..cells import BadRow
from ..sentences import sentences

# Of the sentences that replaced others, how many a sentence is compared with.
_AHEAD = 8


def sentence_edit(row: Pair, settings: SentenceEdit) -> Iterator[Pair]:
    """Yield each sentence that was changed, not only removed or added, with its new version, in the text's order."""
    before, after = ([text[begin:end].strip() for begin, end in sentences(text)] for text in (row.query, row.positive))
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    replaced = [(before[a:b], after[c:d]) for change, a, b, c, d in changes if change == "replace"]
    if not replaced:
        raise BadRow("no sentence was edited")
    edits = [edit for old, new in replaced for edit in _edits(old, new, settings.similarity)]
    if not edits:
        raise BadRow("no two sentences are alike enough")
    for old, new in edits:
        yield replace(row, query=old, positive=new, task=settings.task, negatives=(), label=None, scores=None)


def _edits(old: list[str], new: list[str], least: float) -> Iterator[tuple[str, str]]:
    """Yield the versions of a sentence among those that replaced each other: each takes the one most like it that is
    left."""
    place = 0
    for sentence in old:
        ratios = [
            SequenceMatcher(None, sentence, other, autojunk=False).ratio() for other in new[place : place + _AHEAD]
        ]
        if ratios and (best := max(ratios)) >= least:
            place += ratios.index(best) + 1
            yield sentence, new[place - 1]
