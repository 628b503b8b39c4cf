"""Intervals and tests against scipy's plain functions and against brute force."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from ascent.errors import AscentError
from ascent.evaluation.statistics import compare_stages, holm, intervals, main_score, p_value, read_table
from ascent.evaluation.units import SCHEMA, Units, write_units


def units(scores, metric="ndcg_at_10", reference=None, subsets=None, stage="base", task="Toy"):
    n = len(scores)
    columns = {
        "split": ["test"] * n,
        "subset": subsets or ["default"] * n,
        "unit": [str(i) for i in range(n)],
        "score": scores,
        "reference": [None] * n if reference is None else reference,
    }
    table = pa.table({key: pa.array(value, SCHEMA.field(key).type) for key, value in columns.items()})
    kind = "STS" if reference is not None else "Retrieval"
    return Units(recipe="toy", stage=stage, task=task, type=kind, metric=metric, table=table)


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


def test_p_value_of_means_is_the_exact_sign_flip(draws):
    base, other = draws.uniform(size=10), draws.uniform(size=10) + 0.2
    difference = other - base
    flips = np.array([np.mean(difference * signs) for signs in itertools.product([1, -1], repeat=10)])
    smaller = min(np.mean(flips >= difference.mean() - 1e-12), np.mean(flips <= difference.mean() + 1e-12))
    assert p_value(units(base), units(other)) == pytest.approx(min(1, 2 * smaller))


def test_p_value_of_spearman_is_the_exact_exchange_of_ranks(draws):
    human, base = draws.normal(size=(2, 9))
    other = human + 0.3 * draws.normal(size=9)
    ranks = stats.rankdata(base), stats.rankdata(other)
    found = []
    for swaps in itertools.product([False, True], repeat=9):
        x, y = np.where(swaps, ranks[0], ranks[1]), np.where(swaps, ranks[1], ranks[0])
        target = stats.rankdata(human)
        found.append(np.corrcoef(x, target)[0, 1] - np.corrcoef(y, target)[0, 1])
    found = np.array(found)
    smaller = min(np.mean(found >= found[0] - 1e-9), np.mean(found <= found[0] + 1e-9))
    toy = [units(scores, "cosine_spearman", human) for scores in (base, other)]
    assert p_value(*toy) == pytest.approx(min(1, 2 * smaller))


def test_equal_models_are_no_different(draws):
    toy = units(draws.uniform(size=30))
    assert p_value(toy, toy) == 1
    assert intervals([toy, toy])[1].tolist() == [[0, 0], [0, 0]]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []


@pytest.fixture
def results(tmp_path, draws):
    hardness = draws.uniform(size=50)
    for stage, gain in (("base", 0.0), ("merge", 0.1)):
        for task, metric in (("Search", "ndcg_at_10"), ("Groups", "v_measure")):
            folder = tmp_path / stage / "mteb"
            folder.mkdir(parents=True, exist_ok=True)
            scores = hardness + gain if task == "Search" else []
            write_units(folder / f"{task}.units.parquet", units(scores, metric, stage=stage, task=task))
            entry = {
                "main_score": float(np.mean(scores)) if task == "Search" else 0.5 + gain,
                "ap": float("nan"),
            }
            (folder / f"{task}.json").write_text(json.dumps({"scores": {"test": [entry]}}))
    return tmp_path


def paths(folder):
    return [folder / stage / "mteb" / f"{task}.json" for stage in ("base", "merge") for task in ("Search", "Groups")]


def score(folder):
    compare_stages(paths(folder), folder / "scores.tsv", folder / "significance.tsv")
    return read_table(folder / "scores.tsv"), read_table(folder / "significance.tsv")


def test_tables(results):
    scores, tests = score(results)
    assert [(row["stage"], row["task"]) for row in scores] == [
        ("base", "Search"),
        ("base", "Groups"),
        ("merge", "Search"),
        ("merge", "Groups"),
    ]
    assert scores[0]["low"] < scores[0]["score"] < scores[0]["high"]
    assert scores[1]["low"] is None  # no interval for a V-measure
    (test,) = tests
    assert test["difference"] == test["low"] == test["high"] == pytest.approx(0.1)
    assert test["p_value"] == test["p_adjusted"] == pytest.approx(2e-4)
    assert (test["baseline"], test["units"]) == ("base", 50)
    before = (results / "scores.tsv").read_bytes(), (results / "significance.tsv").read_bytes()
    score(results)
    assert before == ((results / "scores.tsv").read_bytes(), (results / "significance.tsv").read_bytes())


def test_nan_score_is_refused(results):
    (results / "base/mteb/Search.json").write_text('{"scores": {"test": [{"main_score": NaN}]}}')
    with pytest.raises(AscentError, match=r"Search.json: main_score is NaN; remove the file and re-run evaluate_task"):
        score(results)


def test_stages_with_other_queries_are_refused(results):
    write_units(results / "merge/mteb/Search.units.parquet", units([0.1, 0.2], stage="merge", task="Search"))
    with pytest.raises(AscentError, match=r"Search: two stages were evaluated on different queries"):
        score(results)


def test_truncated_units_are_refused(results):
    path = results / "merge/mteb/Search.units.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(AscentError, match=r"Search.units.parquet: not a complete parquet file"):
        score(results)
