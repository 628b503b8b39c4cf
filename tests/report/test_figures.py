"""Figures and pages: the same bytes for the same numbers, whole, and without anything from outside."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from ascent.errors import AscentError
from ascent.evaluation.mteb_names import metric_name
from ascent.report.figures import draw_curves, draw_radar, spokes_of, stage_colours
from ascent.report.pages import number, p_text, render_audits, render_scores, render_significance, score_table

TASKS = {"Search": "ndcg_at_10", "Rerank": "map_at_1000", "Pairs": "cosine_spearman", "Groups": "v_measure"}


def rows(tasks=TASKS, stages=("base", "contrastive", "merge")):
    return [
        {
            "stage": stage,
            "task": task,
            "type": "T",
            "metric": metric,
            "score": 0.5 + 0.1 * i,
            "low": None,
            "high": None,
            "reason": None,
        }
        for i, stage in enumerate(stages)
        for task, metric in tasks.items()
    ]


@pytest.mark.parametrize("tasks", [TASKS, {"Search": "ndcg_at_10"}])
def test_radar_has_every_spoke_and_stage_and_the_same_bytes(tmp_path, tasks):
    for name in ("first", "second"):
        draw_radar(rows(tasks), [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"])
    for kind in ("svg", "png"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()
    text = (tmp_path / "first.svg").read_text()
    ElementTree.fromstring(text)
    assert "dc:date" not in text
    for word in [*tasks, "base", "contrastive", "merge", "nDCG@10"]:
        assert f"<!-- {word} -->" in text  # matplotlib names each drawn text so
    if len(tasks) > 2:
        assert "<!-- The centre is 0.4, the rings are 0.1 apart, the outermost is 0.7. -->" in text
        assert "<!-- 0.4 -->" in text  # the centre's own label


def test_spokes_are_means_by_task_type():
    types = {"A": "Retrieval", "B": "Retrieval", "C": "STS", "D": "Clustering", "E": "Retrieval"}
    given = [
        {
            "stage": stage,
            "task": task,
            "type": kind,
            "metric": "accuracy" if task == "B" else "ndcg_at_10",
            "score": score + gain,
        }
        for stage, gain in (("base", 0.0), ("merge", 0.2))
        for (task, kind), score in zip(types.items(), (0.1, 0.3, 0.5, 0.6, 0.9), strict=True)
        if (stage, task) != ("base", "E")  # not a task that all stages have
    ]
    found = [
        (spoke.name, spoke.what, [round(score, 6) for score in spoke.scores.values()]) for spoke in spokes_of(given)
    ]
    assert found == [
        ("Retrieval", "main scores, 2 tasks", [0.2, 0.4]),
        ("STS", "nDCG@10, 1 task", [0.5, 0.7]),
        ("Clustering", "nDCG@10, 1 task", [0.6, 0.8]),
    ]


@pytest.mark.parametrize(
    ("kinds", "count", "spokes"), [(1, 9, 9), (1, 10, 1), (2, 4, 4), (3, 6, 3), (9, 131, 9), (14, 131, 9)]
)
def test_a_radar_has_at_most_nine_spokes(kinds, count, spokes):
    given = [
        {"stage": "base", "task": f"T{i}", "type": f"K{i % kinds}", "metric": "accuracy", "score": i / count}
        for i in range(count)
    ]
    found = spokes_of(given)
    assert len(found) == spokes
    assert ("Other types" in [spoke.name for spoke in found]) == (kinds > 9)


@pytest.mark.slow
def test_curves_show_each_stage(tmp_path):
    for stage in ("contrastive", "finetune"):
        (tmp_path / stage).mkdir()
        steps = [{"step": i, "loss": 1 / i, "learning_rate": 1e-4 / i, "gradient_norm": 1.0} for i in range(1, 9)]
        (tmp_path / stage / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    metrics = {stage: tmp_path / stage / "metrics.jsonl" for stage in ("contrastive", "finetune")}
    draw_curves(metrics, [tmp_path / "curves.svg"])
    text = (tmp_path / "curves.svg").read_text()
    for word in ("contrastive", "finetune", "step", "loss (nats)", "learning rate", "gradient norm"):
        assert f"<!-- {word} -->" in text
    assert "<!-- development score -->" not in text
    steps[3]["development"] = 0.5
    (tmp_path / "finetune" / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    draw_curves(metrics, [tmp_path / "curves.svg"])
    assert "<!-- development score -->" in (tmp_path / "curves.svg").read_text()


def test_empty_metrics_are_refused(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(AscentError, match=r"metrics.jsonl: has no steps; train the stage again"):
        draw_curves({"finetune": tmp_path / "metrics.jsonl"}, [tmp_path / "curves.svg"])


def test_names_numbers_and_colours():
    assert [metric_name(name) for name in ("ndcg_at_10", "cosine_spearman", "accuracy", "max_ap")] == [
        "nDCG@10",
        "Spearman",
        "accuracy",
        "max ap",
    ]
    assert [number(0.12345), number(-0.2, sign=True), number(-0.0001, sign=True), number(None)] == [
        "0.123",
        "\u22120.200",
        "+0.000",
        "–",
    ]
    assert [p_text(0.0002), p_text(0.0312)] == ["< 0.001", "0.031"]
    colours = stage_colours(["base", "a", "b"])
    assert len(set(colours.values())) == 3


def test_score_table_takes_means_over_tasks_that_all_stages_have():
    table = score_table([row for row in rows() if (row["stage"], row["task"]) != ("base", "Groups")])
    assert table["means"] == pytest.approx([0.5, 0.6, 0.7])
    assert table["lines"][-1]["cells"][0] is None
    assert table["lines"][0]["best"] == 0.7


def test_pages_are_whole_and_need_nothing_from_outside(tmp_path):
    (tmp_path / "scores.tsv").write_text(
        "recipe\tstage\ttask\ttype\tmetric\tscore\tlow\thigh\treason\n"
        "toy\tbase\tSearch <b>\tRetrieval\tndcg_at_10\t0.5\t0.4\t0.6\t\n"
        "toy\tmerge\tGroups\tClustering\tv_measure\t0.7\t\t\tV-measure is not a mean\n"
    )
    (tmp_path / "significance.tsv").write_text(
        "recipe\tstage\tbaseline\ttask\tmetric\tdifference\tlow\thigh\tlow_adjusted\thigh_adjusted\tp_value\tp_adjusted\tunits\treason\n"
        "toy\tmerge\tbase\tSearch\tndcg_at_10\t-0.1\t-0.2\t-0.05\t-0.21\t-0.04\t0.001\t0.002\t400\t\n"
        "toy\tmerge\tfinetune\tSearch\tndcg_at_10\t0.03\t0.01\t0.04\t0.005\t0.055\t0.001\t0.002\t400\t\n"
        "toy\tmerge\tbase\tFew\tndcg_at_10\t-0.1\t-0.2\t-0.05\t\t\t\t\t5\t5 queries cannot tell\n"
    )
    others = {
        "filter": "select",
        "in": 9,
        "changed": 0,
        "dropped": {"split is test, not train": 4},
        "kept": 5,
        "examples": {},
    }
    step = {"filter": "length", "in": 5, "changed": 0, "dropped": {"too long": 2}, "kept": 3}
    counts = dict.fromkeys(("pairs", "ranked", "known_positive", "outside_ranks", "above_share_of_positive"), 7)
    counts |= dict.fromkeys(("not_needed", "kept", "pairs_with_fewer_than_asked", "pairs_without_negatives"), 8)
    audits = {
        "pairs.json": {
            "kind": "pairs",
            "dataset": "pairs",
            "corpus": "letters",
            "filters": [others, step | {"examples": {"too long": [{"query": "<i>"}]}}],
            "augmentations": [
                {"augmentation": "word_swap", "in": 3, "added": 2, "replaced": 0, "examples": [{"query": "b a"}]}
            ],
        },
        "finetune/negatives/pairs.audit.json": {
            "kind": "negatives",
            "stage": "finetune",
            "dataset": "pairs",
            "counts": counts,
            "margin_of_positive_over_negative": {"p50": 0.25},
            "distinct_negatives": 6,
            "examples": {"kept": [{"query": "q", "positive": "p", "candidate": "c", "candidate_score": 0.5}]},
        },
        "finetune/replacements.json": {
            "kind": "replacements",
            "stage": "finetune",
            "judged": 70,
            "replaced": 31,
            "exhausted": 2,
            "checks": [{"step": 1100, "judged": 70, "replaced": 31, "exhausted": 2}],
            "examples": {
                "replaced": [{"query": "q", "positive": "p", "negative": "<u>", "replaced_by": "r", "score": 0.1}]
            },
        },
        "merge/weights.json": {
            "kind": "weights",
            "stage": "merge",
            "dataset": "held",
            "metric": "ndcg_at_10",
            "parents": {"one": 0.41, "other": 0.42},
            "tried": [{"weights": [1.0, 0.0], "score": 0.41}, {"weights": [0.25, 0.75], "score": 0.4312}],
            "chosen": {"one": 0.25, "other": 0.75},
            "score": 0.4312,
        },
        "letters.json": {
            "kind": "corpus",
            "corpus": "letters",
            "pairs": {"train": 3},
            "documents": {},
            "set_aside": {"no text": 1},
            "examples": {"no text": ["a:1"]},
            "extracted": [
                {"extractor": "title_body", "taken": 1234, "left_out": {"it has no title": 34}, "pairs": 1200}
            ],
        },
    }
    audits["plain.json"] = {key: value for key, value in audits["letters.json"].items() if key != "extracted"} | {
        "corpus": "plain"
    }
    pooled = [{"corpus": None, "kept": 187}, {"corpus": "wiki", "kept": 12}]
    audits["pooled.json"] = audits["finetune/negatives/pairs.audit.json"] | {
        "dataset": "pooled",
        "from": pooled,
        # A candidate of a corpus has the corpus's name, one of the data set itself has none.
        "examples": {
            "kept": [{"query": "q", "candidate": "own"}, {"query": "q", "candidate": "far", "corpus": "wiki"}],
            "too_close": [{"query": "q", "candidate": "away", "corpus": "news"}, {"query": "q", "candidate": "here"}],
        },
    }
    for name, audit in audits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(audit))
    render_scores(tmp_path / "scores.tsv", tmp_path / "scores.html")
    render_significance(tmp_path / "significance.tsv", tmp_path / "significance.html")
    render_audits([tmp_path / name for name in audits], tmp_path / "audits.html")
    pages = {name: (tmp_path / f"{name}.html").read_text() for name in ("scores", "significance", "audits")}
    for page in pages.values():
        assert not re.search(r"(src|href)=|https?:|<script|@import", page)
    assert "Search &lt;b&gt;" in pages["scores"]
    assert "0.400 to 0.600" in pages["scores"]
    assert "no interval: V-measure is not a mean" in pages["scores"]
    assert "\u22120.210 to \u22120.040" in pages["significance"]
    assert "not tested: 5 queries cannot tell" in pages["significance"]
    assert "counts all 1 comparisons" not in pages["significance"]
    assert '<tr><td>title_body: left out: it has no title</td><td class="n">34</td></tr>' in pages["audits"]
    assert (
        "5 of the corpus's 9 rows belong to this data set; the others: split is test, not train (4)." in pages["audits"]
    )
    assert "merge against base</h2>" in pages["significance"] and "merge against finetune</h2>" in pages["significance"]
    (chosen,) = re.findall(r"<tr>(?:(?!</tr>).)*chosen</td></tr>", pages["audits"])
    assert re.findall(r">([\d.]+)<", chosen) == ["0.250", "0.750", "0.4312"]
    assert "6 distinct texts: 187 from the data set itself, 12 from wiki." in pages["audits"]
    assert "6 distinct texts.\n" in pages["audits"]
    for candidate, corpus in (("own", ""), ("far", "wiki"), ("away", "news"), ("here", "")):
        assert f'<td class="text">{candidate}</td><td class="text">{corpus}</td></tr>' in pages["audits"]
    assert "worse" in pages["significance"]
    assert "\u22120.100" in pages["significance"]
    assert "31 were replaced" in pages["audits"] and "&lt;u&gt;" in pages["audits"] and "1,100" in pages["audits"]
    assert (
        "Augmentation word swap made of 3 rows: 2 added, 0 replaced." in pages["audits"] and ">b a<" in pages["audits"]
    )
    for text in ("too long: 2", "pairs, for stage finetune", "p50 +0.250", "&lt;i&gt;", "set aside: no text", "a:1"):
        assert text in pages["audits"]


def test_scores_that_are_all_alike_have_a_page(tmp_path):
    """As those of a trial on easy rows."""
    columns, row = (
        "recipe stage task type metric score low high reason",
        "toy base Search Retrieval ndcg_at_10 1.0 1.0 1.0 ",
    )
    (tmp_path / "scores.tsv").write_text("\n".join(line.replace(" ", "\t") for line in (columns, row)) + "\n")
    render_scores(tmp_path / "scores.tsv", tmp_path / "scores.html")
    assert "1.000 to 1.000" in (tmp_path / "scores.html").read_text()


def test_other_files_are_no_audits(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(AscentError, match=r"x.json: is not an audit"):
        render_audits([tmp_path / "x.json"], tmp_path / "audits.html")
