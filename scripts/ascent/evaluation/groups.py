"""Which units of a task vary together, because they share texts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Groups:
    """What is sampled: texts, each with the units that contain it. A unit belongs to one group or to two.

    first: each unit's group, (units,). second: its other group, -1 if it has none; None if no unit has one.
    """

    count: int
    first: np.ndarray
    second: np.ndarray | None

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values (units, ...) over the units of each group; a unit of two groups counts in both."""
        totals = np.zeros((self.count, *values.shape[1:]))
        np.add.at(totals, self.first, values)
        if self.second is not None:
            both = self.second >= 0
            np.add.at(totals, self.second[both], values[both])
        return totals


def groups_of(texts: Sequence[Sequence[str]]) -> Groups:
    """Return the groups of units, given each unit's one or two texts.

    A unit belongs to its text, or to both of them. A text says nothing of its own where the unit's other text occurs in
    all its units, too: so a pair of texts that occur once is one group, and a query with many documents is one."""
    units_of: dict[str, set[int]] = defaultdict(set)
    for unit, names in enumerate(texts):
        for name in names:
            units_of[name].add(unit)
    numbers: dict[str, int] = {}
    first, second = np.empty(len(texts), dtype=np.int64), np.full(len(texts), -1, dtype=np.int64)
    for unit, names in enumerate(texts):
        names = sorted(set(names), key=lambda name: (-len(units_of[name]), name))
        if len(names) == 2 and units_of[names[1]] <= units_of[names[0]]:
            names = names[:1]
        first[unit] = numbers.setdefault(names[0], len(numbers))
        if len(names) == 2:
            second[unit] = numbers.setdefault(names[1], len(numbers))
    return Groups(len(numbers), first, second if (second >= 0).any() else None)
