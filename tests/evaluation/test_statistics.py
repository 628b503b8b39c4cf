"""Intervals of scores against scipy's plain functions and against resampling by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ascent.evaluation.groups import groups_of
from ascent.evaluation.statistics import intervals, main_score
from support.recurring_texts import task, truth
from support.units import units


@pytest.fixture
def draws():
    return np.random.default_rng(7)


def test_interval_of_a_mean_is_scipys(draws):
    base, other = draws.beta(2, 1, 60), draws.beta(3, 1, 60)
    own, differences = intervals([units(base), units(other)])
    plain = stats.bootstrap((base,), np.mean, n_resamples=10_000, rng=np.random.default_rng(0)).confidence_interval
    assert own[0] == pytest.approx([plain.low, plain.high], abs=1e-12)
    paired = stats.bootstrap(
        (base, other),
        lambda x, y, axis: (y - x).mean(axis),
        paired=True,
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert differences[1] == pytest.approx([paired.low, paired.high], abs=1e-12)
    assert differences[0].tolist() == [0, 0]


def test_pairing_makes_the_interval_of_a_difference_narrow(draws):
    hardness = draws.uniform(size=200)
    base, other = units(hardness), units(hardness + 0.02 + draws.normal(0, 0.02, 200))
    own, differences = intervals([base, other])
    assert np.ptp(differences[1]) < 0.2 * np.ptp(own[1])
    assert differences[1][0] > 0


def test_spearman_is_scipys_with_ties(draws):
    human, model = draws.integers(0, 5, 80).astype(float), draws.normal(size=80).round(1)
    assert main_score(units(model, "cosine_spearman", human)) == pytest.approx(stats.spearmanr(model, human)[0])
    assert main_score(units(model, "cosine_pearson", human)) == pytest.approx(stats.pearsonr(model, human)[0])


def test_interval_of_spearman_is_scipys(draws):
    human, model = draws.integers(0, 5, 40).astype(float), draws.normal(size=40).round(1)

    def spearman(x, y, axis):
        x, y = (stats.zscore(stats.rankdata(values, axis=axis), axis=axis) for values in (x, y))
        return (x * y).mean(axis=axis)

    plain = stats.bootstrap((model, human), spearman, paired=True, n_resamples=10_000, rng=np.random.default_rng(0))
    own, _ = intervals([units(model, "cosine_spearman", human)])
    assert own[0] == pytest.approx(list(plain.confidence_interval), abs=1e-9)


def test_interval_of_spearman_covers_the_truth_about_as_often_as_it_says(draws):
    truth = 6 / np.pi * np.arcsin(0.7 / 2)
    hits = 0
    for _ in range(40):
        x = draws.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=60)
        own, _ = intervals([units(x[:, 0], "cosine_spearman", x[:, 1])])
        hits += own[0][0] <= truth <= own[0][1]
    assert hits >= 34  # below the 1 % point of a binomial with p = .95


def test_subsets_weigh_the_same_and_are_drawn_apart():
    scores, subsets = [1.0, 0.0, 0.5, 0.5, 0.5, 0.5], ["a"] * 2 + ["b"] * 4
    toy = units(scores, subsets=subsets)
    assert main_score(toy) == 0.5
    own, _ = intervals([toy])
    assert own[0].tolist() == [0.25, 0.75]  # b never varies, a is 0, .5 or 1


def test_equal_models_are_no_different(draws):
    toy = units(draws.uniform(size=30))
    assert intervals([toy, toy])[1].tolist() == [[0, 0], [0, 0]]


def test_units_that_share_texts_are_grouped_by_them():
    texts = [("a", "b"), ("b", "a"), ("c", "d"), ("c", "e"), ("f", "g"), ("f", "h"), ("i", "h"), ("j", "j")]
    groups = groups_of(texts)
    # a and b occur together only, c has d and e, f and h are in two pairs each, j is a pair with itself
    f, h = groups.first[4], groups.first[6]
    assert groups.first.tolist() == [0, 0, 1, 1, f, groups.first[5], h, groups.first[7]]
    assert set(zip(groups.first.tolist(), groups.second.tolist(), strict=True)) >= {(0, -1), (1, -1), (f, -1), (h, -1)}
    assert {groups.first[5], groups.second[5]} == {f, h}
    assert groups.count == 5
    assert groups.sums(np.ones(8)).tolist() == [2, 2, 2, 2, 1]
    assert groups_of([("a",), ("b",), ("a",)]).first.tolist() == [0, 1, 0]


def test_texts_are_drawn_where_they_recur(draws, monkeypatch):
    """A resample of texts by hand: a pair counts as often as both of its texts were drawn, and is then ranked
    plainly."""
    monkeypatch.setattr("ascent.evaluation.statistics.RESAMPLES", 1000)
    n = 14
    pairs = list(itertools.combinations(range(n), 2))
    human, model = draws.integers(0, 5, len(pairs)).astype(float), draws.normal(size=len(pairs)).round(1)

    def spearman(texts, axis):
        found = []
        for drawn in texts.reshape(-1, texts.shape[-1]):
            counts = np.bincount(drawn, minlength=n)
            rows = np.repeat(np.arange(len(pairs)), [counts[i] * counts[j] for i, j in pairs])
            found.append(stats.pearsonr(stats.rankdata(model[rows]), stats.rankdata(human[rows]))[0])
        return np.reshape(found, texts.shape[:-1])

    # groups_of numbers the texts as it meets them, here in the same order
    names = [(str(i), str(j)) for i, j in pairs]
    plain = stats.bootstrap((np.arange(n),), spearman, n_resamples=1000, rng=np.random.default_rng(0), vectorized=True)
    own, _ = intervals([units(model, "cosine_spearman", human, texts=names)])
    assert own[0] == pytest.approx(list(plain.confidence_interval), abs=1e-9)


@pytest.mark.slow
def test_intervals_over_recurring_texts_hold_the_truth(monkeypatch):
    """All pairs of 30 texts. tests/benchmarks/coverage.py does the same with more runs."""
    monkeypatch.setattr("ascent.evaluation.statistics.RESAMPLES", 300)
    expected, held = truth("complete", 3), {}
    for by in ("text", "pair"):
        ends = [intervals(task("complete", 30, np.random.default_rng([7, run]), by))[0][0] for run in range(40)]
        held[by] = sum(low <= expected <= high for low, high in ends)
    assert held["text"] >= 34  # below the 1 % point of a binomial with p = .95
    assert held["pair"] < held["text"]
