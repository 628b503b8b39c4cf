"""The tables of scores and differences."""

import json

import numpy as np
import pytest

import print_scores
from ascent.errors import AscentError
from ascent.evaluation.comparison import best_parents, compare_stages, read_table, tally, verdict
from ascent.evaluation.units import write_units
from support.units import units


@pytest.fixture
def draws():
    return np.random.default_rng(7)


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
    assert (scores[1]["low"], scores[1]["reason"]) == (None, "V-measure is not a mean over queries")
    assert scores[0]["reason"] is None
    (test,) = tests
    ends = ("low", "high", "low_adjusted", "high_adjusted")
    assert [test["difference"], *(test[end] for end in ends)] == pytest.approx([0.1] * 5)
    assert test["p_value"] == test["p_adjusted"] == pytest.approx(2e-4)
    assert (verdict(test), test["reason"]) == ("better", None)
    assert (test["baseline"], test["units"]) == ("base", 50)
    before = (results / "scores.tsv").read_bytes(), (results / "significance.tsv").read_bytes()
    score(results)
    assert before == ((results / "scores.tsv").read_bytes(), (results / "significance.tsv").read_bytes())


def test_the_scores_are_printed_with_what_is_clear_and_where_the_rest_is(results, monkeypatch, capsys):
    scores, _ = score(results)
    (results / "release").mkdir()
    (results / "release/README.md").write_text("the card")
    arguments = [str(results), "--report", str(results / "none.html")]
    monkeypatch.setattr("sys.argv", ["print_scores.py", *arguments])
    assert print_scores.main() == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    by_task = {task: [round(row["score"], 3) for row in scores if row["task"] == task] for task in ("Search", "Groups")}
    search, groups = ([f"{value:.3f}" for value in by_task[task]] for task in ("Search", "Groups"))
    assert shown[0] == ["task", "metric", "base", "merge"]
    assert shown[2] == ["Search", "nDCG@10", search[0], f"{search[1]}+"]
    assert shown[3] == ["Groups", "V-measure", *groups]  # no test, so no mark
    assert shown[4][:3] == ["mean", "over", "tasks"]
    assert shown[-1] == ["card:", str(results / "release/README.md")]  # there is no report
    (results / "scores.tsv").unlink()
    assert print_scores.main() == 1
    assert capsys.readouterr().err.endswith(": has no scores.tsv; build the recipe first, by `make run RECIPE=...`.\n")


def test_a_merged_stage_is_compared_with_its_parents_too(results, draws):
    """The same numbers as with the parent as baseline, adjusted for all five comparisons."""
    for stage, gain in (("one", 0.02), ("other", 0.05)):
        (results / stage / "mteb").mkdir(parents=True)
        path = results / stage / "mteb" / "Search.json"
        scores = draws.uniform(size=50) * 0.2 + gain + 0.3
        write_units(path.with_suffix(".units.parquet"), units(scores, stage=stage, task="Search"))
        path.write_text(json.dumps({"scores": {"test": [{"main_score": float(np.mean(scores))}]}}))
    given = [results / stage / "mteb" / "Search.json" for stage in ("base", "one", "other", "merge")]
    compare_stages(given, results / "scores.tsv", results / "all.tsv", against={"merge": ["one", "other"]})
    rows = {(row["stage"], row["baseline"]): row for row in read_table(results / "all.tsv")}
    assert list(rows) == [("one", "base"), ("other", "base"), ("merge", "base"), ("merge", "one"), ("merge", "other")]
    for parent in ("one", "other"):
        alone = [path for path in given if path.parts[-3] in (parent, "merge")]
        compare_stages(alone, results / "scores.tsv", results / "alone.tsv", baseline=parent)
        (expected,) = read_table(results / "alone.tsv")
        found, same = rows["merge", parent], ("difference", "low", "high", "p_value", "units")
        assert [found[key] for key in same] == [expected[key] for key in same]
        assert found["p_adjusted"] == pytest.approx(min(1, 5 * expected["p_value"]))
        assert found["low_adjusted"] < expected["low_adjusted"] < expected["high_adjusted"] < found["high_adjusted"]
    assert tally([row | {"p_adjusted": None} for row in rows.values()]) == (
        "better on 0, worse on 0, no clear difference on 0, not tested on 5"
    )


def test_the_best_parent_is_that_of_the_development_set(capsys):
    choice = {"stage": "merge", "dataset": "held", "parents": {"one": 0.4, "other": 0.5, "base": 0.1}}
    against = {"merge": ["one", "other"], "rounded": ["merge"]}
    assert best_parents(against, [choice]) == {"merge": ["other"], "rounded": ["merge"]}
    assert (
        best_parents(against, [choice | {"parents": {"one": 0.4, "base": 0.7}}])["merge"] == []
    )  # compared with it anyway
    assert best_parents({}, [choice]) == {}
    assert capsys.readouterr().err == ""
    assert best_parents({"merge": []}, [choice]) == {"merge": []}
    told = "warning: evaluate.stages lacks other, the best parent of merge on held, so they are not compared; add it."
    assert told in capsys.readouterr().err


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


def test_comparisons_that_nothing_could_show_are_not_tested(results, draws):
    """Five queries have 32 flips, so p is 2/32 at best; the other task's family is the smaller for it."""
    for stage, gain in (("base", 0.0), ("merge", 0.5)):
        path = results / stage / "mteb" / "Groups.json"
        write_units(
            path.with_suffix(".units.parquet"), units(np.linspace(0, 0.4, 5) + gain, stage=stage, task="Groups")
        )
        path.write_text(json.dumps({"scores": {"test": [{"main_score": 0.2 + gain}]}}))
    _, tests = score(results)
    search, groups = tests
    assert search["p_adjusted"] == search["p_value"]
    assert (groups["p_value"], groups["p_adjusted"], groups["low_adjusted"]) == (None, None, None)
    assert groups["reason"] == "5 queries cannot tell any difference among 2 comparisons; evaluate at least 7"
    assert verdict(groups) == "not tested"
    assert groups["low"] == groups["high"] == pytest.approx(0.5)
