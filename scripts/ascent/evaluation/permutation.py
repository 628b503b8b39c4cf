"""Tests of a difference, and intervals that say the same as the tests.

**The test.** Under the null hypothesis a unit's scores by stage and baseline are exchangeable: exchanging them flips
the sign of what the unit contributes to the difference. So signs are flipped at random (of a text's total where texts
recur, see `groups.py`), and the p-value is the share of draws that are at least as extreme, two-sided, the observed one
among them. Few units have all their 2^n flips enumerated. Normality is not assumed: nDCG@10, with its many zeros and
ones, is far from normal. The difference of two means is the sum of the units' differences. The difference of two
correlations is a sum to first order, with both correlations at their mean r: ((x - y) z - r (x^2 - y^2) / 2) / n, for
standardised x, y and human z.

**The interval** holds the differences that the same flips do not reject: those of the sample minus an assumed
difference. By construction it leaves out 0 exactly where the test finds a difference. Its ends are values q of one set
of numbers, one per flip s, of which none depends on the level: with contributions D and shares W of what is assumed
(both by text), the assumed difference d is as extreme as the flip if d (1 - sW) >= T - sD, so q = (T - sD) / (1 - sW).
(Hartigan 1969, doi:10.1080/01621459.1969.10501057, calls them typical values.)

**Many comparisons.** All stages and tasks of a recipe are one family of m. p-values are multiplied by m and intervals
have level 1 - ALPHA / m (Bonferroni; Dunn 1961, doi:10.1080/01621459.1961.10482090), which holds under any dependence:
all intervals are right together in 95% of samples, and all verdicts with them. Holm's step-down method finds a little
more, but the intervals that belong to it say no more of a difference that it finds than its sign (Strassburger & Bretz
2008, doi:10.1002/sim.3338). The number of flips grows with the family, or nothing could be found in a large one."""

import math
from dataclasses import dataclass

import numpy as np

from .groups import groups_of
from .statistics import BATCH, SEED, arrays, standardised
from .units import Units

# A difference is significant if its adjusted p-value is below this.
ALPHA = 0.05
# At least this many flips, with the observed signs among them.
FLIPS = 10_000
# Of the flips that a family takes, this many lie beyond each end of an adjusted interval.
BEYOND = 10


def flips_for(family: int) -> int:
    """Return how many flips, the observed one included, resolve a family of comparisons."""
    return max(FLIPS, math.ceil(2 * BEYOND * family / ALPHA))


def smallest_p(units: int, family: int) -> float:
    """Return the smallest adjusted p-value that a comparison can have over independent units, in a family of this size.

    Two-sided, so it is twice the share of one flip: of all 2^units, or of those that are drawn.
    """
    return min(1.0, 2 * family / min(2.0 ** min(units, 1000), flips_for(family)))


def units_needed(family: int) -> int:
    """Return how many independent units a comparison needs to be found different at all, in a family of this size."""
    return next(units for units in range(1, 1000) if smallest_p(units, family) < ALPHA)


@dataclass(frozen=True)
class Comparison:
    """A stage against the baseline on one task: p-value, and the same adjusted for the family, with the interval."""

    p_value: float
    p_adjusted: float
    low: float
    """The adjusted interval's lower end; -inf where the units are too few for one."""
    high: float


def independent_units(units: Units) -> int:
    """Return how many units of a task vary independently: its queries, or the texts that recur in its pairs."""
    return sum(groups_of(units.texts(rows)).count for rows in units.subsets())


def compare(models: list[Units], family: int = 1) -> list[Comparison]:
    """Compare models with the first of them, on one task with units."""
    totals, contributions, shares = _contributions(models)
    sure, typical = _typical_values(totals, contributions, shares, flips_for(family))
    flips = sure + len(typical)
    # The smallest number of values up to an end at which the adjusted p-value there is not below ALPHA.
    place = math.ceil(ALPHA * flips / (2 * family) - sure - 1e-9)
    found = []
    for values in np.sort(typical, axis=0).T:
        less, more = np.searchsorted(values, 0.0, side="right"), len(values) - np.searchsorted(values, 0.0, side="left")
        p = min(1.0, 2 * (sure + min(less, more)) / flips)
        low, high = (values[place - 1], values[-place]) if 0 < place <= len(values) else (-math.inf, math.inf)
        # Rounded, so that what equals ALPHA is not below it.
        found.append(Comparison(p, min(1.0, round(family * p, 12)), float(low), float(high)))
    return found


def _contributions(models: list[Units]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return differences to the first model (others,), what each group contributes (groups, others), and its share of
    an assumed difference (groups,)."""
    scores, reference = arrays(models)
    first, subsets = models[0], models[0].subsets()
    totals, contributions, shares = 0.0, [], []
    for rows in subsets:
        share = np.full(rows.stop - rows.start, 1 / (len(subsets) * (rows.stop - rows.start)))
        if first.is_mean:
            parts = scores[1:, rows] - scores[0, rows]
        else:
            one = np.ones((1, len(share)))
            human = standardised(first.metric, reference[rows], one)
            values = np.concatenate([standardised(first.metric, model[rows], one) for model in scores])
            correlations = (values * human).mean(axis=1, keepdims=True)
            between = (correlations[1:] + correlations[:1]) / 2
            parts = (values[1:] - values[0]) * human - between * (values[1:] ** 2 - values[0] ** 2) / 2
        parts = parts.T * share[:, None]
        groups = groups_of(first.texts(rows))
        totals = totals + parts.sum(axis=0)
        contributions.append(groups.sums(parts))
        shares.append(groups.sums(share))
    return totals, np.concatenate(contributions), np.concatenate(shares)


def _typical_values(totals, contributions, shares, flips: int) -> tuple[int, np.ndarray]:
    """Return how many flips are as extreme as any assumed difference, and the typical values (other flips, others)."""
    count = len(shares)
    exact = count <= math.log2(flips)
    columns = np.column_stack([contributions, shares])
    sums = columns.sum(axis=0)
    # Sums of so many numbers are equal up to this.
    tolerance = 1e-12 * np.abs(contributions).sum(axis=0)
    draws, size = np.random.default_rng(SEED), max(1, BATCH // count)
    sure, found = (0 if exact else 1), []
    total = 2**count if exact else flips - 1
    for begin in range(0, total, size):
        rows = min(size, total - begin)
        if exact:
            bits = (np.arange(begin, begin + rows)[:, None] >> np.arange(count)) & 1
        else:
            bits = np.unpackbits(draws.integers(0, 256, (rows, -(-count // 8)), dtype=np.uint8), axis=1, count=count)
        flipped = sums - 2 * (bits.astype(np.float64) @ columns)
        over, left = totals - flipped[:, :-1], 1 - flipped[:, -1]
        usual = left > 1e-9
        sure += int(rows - usual.sum())
        over[np.abs(over) <= tolerance] = 0.0
        found.append(over[usual] / left[usual, None])
    return sure, np.concatenate(found)
