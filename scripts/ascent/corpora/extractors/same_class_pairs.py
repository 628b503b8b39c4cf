"""Texts of one class as pairs, texts of other classes as negatives."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappush, heappushpop
from random import Random

from ...errors import AscentError
from ...pairs.draws import digest, generator
from ...pairs.table import Pair
from ...settings.extractors import SameClassPairs as Settings
from ..spilling import Spill
from . import Unused


class SameClassPairs:
    """Holds of each class the texts whose hashes are least, and puts all texts aside until these are known."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.spill = Spill("split", "place", "text", "name", "origin")
        # By split and class: a heap of the least hashes, negative so that the largest of them is first, with their
        # texts.
        self.heaps: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, row: Pair) -> None:
        """Take a text and its class. Raises AscentError for one class too many."""
        heaps = self.heaps[row.split]
        if len(heaps) == self.settings.classes and row.positive not in heaps:
            raise AscentError(
                f"same_class_pairs: more than {self.settings.classes} classes, such as '{row.positive[:60]}'; name a"
                " column of classes and not of ids, or raise `classes`."
            )
        self._hold(heaps[row.positive], row.query)
        self.spill.add(row.split, digest(self.settings.seed, row.query), row.query, row.positive, row.origin)

    def _hold(self, heap: list[tuple[int, str]], text: str) -> None:
        held = (-int(digest(self.settings.seed, text)[:15], 16), text)
        if held not in heap:
            heappush(heap, held) if len(heap) < self.settings.pool else heappushpop(heap, held)

    def finish(self) -> Iterator[Pair | Unused]:
        """Yield a pair for each text, in the order of their hashes, with the text's origin; Unused if its class has no
        other."""
        pools = {
            split: {name: sorted(text for _, text in heap) for name, heap in sorted(heaps.items())}
            for split, heaps in self.heaps.items()
        }
        names = {split: list(pool) for split, pool in pools.items()}
        for (split, _, text), rows in self.spill.groups("split", "place", "text"):
            pool = pools[split]
            own = {name for *_, name, _ in rows}
            for *_, name, origin in rows:
                alike = [other for other in pool[name] if other != text]
                if not alike:
                    yield Unused("its class has no other text", text)
                    continue
                draw = generator(self.settings.seed, text, name)
                positive = draw.choice(alike)
                others = self._others(own, names[split], draw)
                negatives = tuple(
                    found for other in others if (found := draw.choice(pool[other])) not in (text, positive)
                )
                yield Pair(text, positive, negatives, task=self.settings.task, split=split, origin=origin)

    def _others(self, own: set[str], names: list[str], draw: Random) -> list[str]:
        """Return drawn classes that the text is not of, as many as there are to be negatives, or fewer if there are
        fewer."""
        chosen: list[str] = []
        while len(chosen) < min(self.settings.negatives, len(names) - len(own)):
            name = draw.choice(names)
            if name not in own and name not in chosen:
                chosen.append(name)
        return chosen
