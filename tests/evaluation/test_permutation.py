"""Tests of differences against enumeration, scipy and a simulation; intervals that say the same as the tests."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ascent.evaluation.permutation import ALPHA, compare, flips_for, independent_units, smallest_p, units_needed
from support.recurring_texts import task as made_up
from support.units import units


@pytest.fixture
def draws():
    return np.random.default_rng(7)


def two_sided(values, observed):
    """The exact p-value of a statistic's values over all flips, the observed one among them."""
    return min(1, 2 * min(np.mean(values >= observed - 1e-12), np.mean(values <= observed + 1e-12)))


def test_p_value_of_means_is_the_exact_sign_flip(draws):
    base, other = draws.uniform(size=10), draws.uniform(size=10) + 0.2
    flips = np.array([np.mean((other - base) * signs) for signs in itertools.product([1, -1], repeat=10)])
    (found,) = compare([units(base), units(other)])
    assert found.p_value == pytest.approx(two_sided(flips, (other - base).mean()))
    plain = stats.permutation_test(
        (other, base), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert found.p_value == pytest.approx(plain.pvalue)


def test_p_value_of_many_queries_is_scipys_up_to_the_draws(draws):
    base = draws.beta(2, 1, 300)
    models = [base, base + draws.normal(0.02, 0.1, 300), base + draws.normal(0, 0.1, 300)]
    found = compare([units(scores) for scores in models])
    for other, one in zip(models[1:], found, strict=True):
        plain = stats.permutation_test(
            (other, base),
            lambda x, y, axis: (x - y).mean(axis),
            permutation_type="samples",
            n_resamples=9_999,
            vectorized=True,
            rng=np.random.default_rng(1),
        )
        assert one.p_value == pytest.approx(plain.pvalue, abs=4 * np.sqrt(plain.pvalue / 10_000))


def test_subsets_weigh_the_same(draws):
    base, other = draws.uniform(size=(2, 9))
    subsets = ["a"] * 3 + ["b"] * 6
    gain = lambda signs: (signs * (other - base))[:3].mean() / 2 + (signs * (other - base))[3:].mean() / 2  # noqa: E731
    flips = np.array([gain(np.array(signs)) for signs in itertools.product([1, -1], repeat=9)])
    (found,) = compare([units(base, subsets=subsets), units(other, subsets=subsets)])
    assert found.p_value == pytest.approx(two_sided(flips, flips[0]))


def test_p_value_of_spearman_is_that_of_exchanged_ranks_to_first_order(draws):
    """Ranks are exchanged by scipy, which standardises them each time."""
    for _ in range(5):
        human, base = draws.normal(size=(2, 60))
        base += human
        other = base + 0.4 * draws.normal(size=60) + 0.1 * human
        (found,) = compare([units(scores, "cosine_spearman", human) for scores in (base, other)])
        target = stats.rankdata(human)

        def difference(x, y, axis, target=target):
            x, y, z = (stats.zscore(values, axis=axis) for values in (x, y, target))
            return ((x - y) * z).mean(axis)

        ranks = stats.rankdata(other), stats.rankdata(base)
        plain = stats.permutation_test(
            ranks,
            difference,
            permutation_type="samples",
            n_resamples=9_999,
            vectorized=True,
            rng=np.random.default_rng(1),
        )
        assert found.p_value == pytest.approx(plain.pvalue, abs=0.02)


def test_a_recurring_text_is_exchanged_whole(draws):
    base, other = draws.uniform(size=12), draws.uniform(size=12) + 0.1
    texts = [[str(i // 2)] for i in range(12)]
    by_text = (other - base).reshape(6, 2).sum(1)
    flips = np.array([by_text @ signs for signs in itertools.product([1, -1], repeat=6)])
    models = [units(scores, texts=texts) for scores in (base, other)]
    assert compare(models)[0].p_value == pytest.approx(two_sided(flips, by_text.sum()))
    assert independent_units(models[0]) == 6


@pytest.mark.slow
def test_level_over_recurring_texts():
    """Of equal models a twentieth differs; exchanging pairs instead of texts finds far more."""
    found = {"text": 0, "pair": 0}
    for by in found:
        for run in range(100):
            models = made_up("complete", 30, np.random.default_rng([7, run]), by)
            found[by] += compare(models)[0].p_value < 0.05
    assert found["text"] <= 11  # above the 99.5 % point of a binomial with p = .05
    assert found["pair"] > 2 * found["text"]


def test_equal_models_are_no_different(draws):
    toy = units(draws.uniform(size=30))
    (found,) = compare([toy, toy])
    assert (found.p_value, found.low, found.high) == (1, 0, 0)


@pytest.mark.parametrize("family", [1, 7, 40])
def test_interval_leaves_out_0_exactly_where_a_difference_is_found(draws, family):
    verdicts = set()
    for gain in np.linspace(0, 0.12, 25):
        base = draws.beta(2, 1, 80)
        (found,) = compare([units(base), units(base + draws.normal(gain, 0.2, 80))], family)
        assert (found.p_adjusted < ALPHA) == (not found.low <= 0 <= found.high)
        verdicts.add(found.p_adjusted < ALPHA)
    assert verdicts == {True, False}


def test_interval_holds_what_the_test_does_not_reject(draws):
    base = draws.uniform(size=60)
    other = base + draws.normal(0.05, 0.2, 60)
    (found,) = compare([units(base), units(other)], family=4)
    for assumed in np.linspace(found.low - 0.05, found.high + 0.05, 21):
        (shifted,) = compare([units(base + assumed), units(other)], family=4)
        assert (shifted.p_adjusted >= ALPHA) == (found.low <= assumed <= found.high)
    assert found.high - found.low == pytest.approx(
        2 * stats.norm.ppf(1 - 0.05 / 8) * (other - base).std() / np.sqrt(60), rel=0.1
    )


def test_intervals_hold_together_as_often_as_they_say(draws):
    """Ten differences at once: in 95 % of samples all intervals hold the truth."""
    held = 0
    for _ in range(100):
        base = draws.uniform(size=40)
        # most queries are answered alike, as with nDCG
        others = [base + 0.05 + draws.normal(0, 0.3, 40) * (draws.uniform(size=40) < 0.4) for _ in range(10)]
        found = compare([units(scores) for scores in (base, *others)], family=10)
        held += all(one.low <= 0.05 <= one.high for one in found)
    assert held >= 88


def test_312_clear_gains_are_found(draws):
    """Four stages on 78 tasks, as in MTEB(Multilingual, v2); a p-value of 2/10,000 times 312 would be .06."""
    for task in range(78):
        base = draws.uniform(size=60 if task == 0 else 15)
        models = [units(base), *(units(base + draws.normal(0.3, 0.05, len(base))) for _ in range(4))]
        found = compare(models, family=312)
        assert all(one.p_adjusted < ALPHA and one.low > 0 for one in found)
        assert found[0].p_adjusted == pytest.approx(smallest_p(len(base), 312))


def test_resolution():
    assert smallest_p(5, 1) == 2 / 32
    assert smallest_p(10, 6) == 12 / 1024
    assert smallest_p(1, 1) == 1
    assert [units_needed(family) for family in (1, 6, 312)] == [6, 8, 14]
    for family in (1, 9, 312, 5000):
        assert 2 * family / flips_for(family) <= ALPHA / 10
    base = np.linspace(0, 1, 6)
    assert compare([units(base), units(base + 0.1)], family=1)[0].p_value == smallest_p(6, 1)
    (found,) = compare([units(base[:4]), units(base[:4] + 0.1)], family=1)
    assert (found.low, found.high) == (-np.inf, np.inf)
