"""Premises with an entailed hypothesis and contradictory ones (SimCSE, arXiv 2104.08821, section 4)."""

from collections.abc import Iterator

from ...pairs.draws import digest, some
from ...pairs.table import Pair
from ...settings.extractors import NliTriples as Settings
from ..cells import BadRow
from ..spilling import Spill
from . import Unused


class NliTriples:
    """Puts rows aside by premise, so that those of one premise are together wherever they stood."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.spill = Spill("split", "place", "premise", "hypothesis", "entailed", "origin")

    def add(self, row: Pair) -> None:
        """Take a row of premise, hypothesis and label. Raises BadRow if it is neither entailment nor contradiction."""
        if row.label not in (self.settings.entailment, self.settings.contradiction):
            raise BadRow("it is neither entailment nor contradiction")
        entailed = row.label == self.settings.entailment
        place = digest(self.settings.seed, row.query)
        self.spill.add(row.split, place, row.query, row.positive, entailed, row.origin)

    def finish(self) -> Iterator[Pair | Unused]:
        """Yield a row for each entailed hypothesis whose premise has contradictory ones, by the hashes of premises. Its
        origin is that of the entailed row."""
        for (split, _, premise), rows in self.spill.groups("split", "place", "premise"):
            entailed, others = ([row[3:] for row in rows if row[4] == wanted] for wanted in (True, False))
            if not entailed or not others:
                lacks = "entailed" if not entailed else "contradictory"
                yield from (Unused(f"its premise has no {lacks} hypothesis", text) for text, *_ in entailed or others)
                continue
            wrong = dict.fromkeys(text for text, *_ in others)
            for text, _, origin in entailed:
                negatives = some(wrong, self.settings.negatives, self.settings.seed, premise, text)
                yield Pair(premise, text, tuple(negatives), task=self.settings.task, split=split, origin=origin)
