"""The report's front page: its numbers are those of the tables, and it says so where there are none."""

import copy
import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from ascent.evaluation.comparison import read_table
from ascent.report.overview import compared, headline, render_overview, stages_in_words
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import check

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "name": "toy",
    "recipe": {
        "base": {"model": "tiny", "pooling": "weighted_mean", "max_tokens": 32},
        "data": {"pairs": {"corpus": "letters"}, "more": {"corpus": "letters"}},
        "stages": {
            "warm": {"type": "pretraining", "objective": "retromae", "data": ["more"], "epochs": 2, "max_steps": 1000},
            "tuned": {
                "from": ["warm"],
                "objective": {"infonce": {}, "cosent": {}},
                "data": ["pairs", "more"],
                "epochs": 0.5,
                "mining": {"model": "warm"},
            },
            "merge": {"from": ["base", "tuned"], "type": "linear", "weights": [1, 3]},
        },
        "evaluate": {"stages": ["base", "merge"], "tasks": {"Search": {"type": "retrieval", "corpus": "letters"}}},
        "release": {
            "stage": "merge",
            "name": "team/toy",
            "licence": "mit",
            "languages": ["en"],
            "summary": "Finds <letters> & more.",
        },
    },
    "corpora": {
        "letters": {
            "source": {"type": "files", "paths": ["x"]},
            "reader": {"pairs": {}},
            "licence": "mit",
            "language": "eng-Latn",
        }
    },
    "models": {"tiny": {"source": {"type": "files", "paths": ["x"]}, "licence": "mit"}},
}
AUDIT = {
    "kind": "pairs",
    "dataset": "pairs",
    "corpus": "letters",
    "filters": [
        {"filter": "select", "in": 2100, "dropped": {"split is test, not train": 50}, "kept": 2050},
        {"filter": "score", "in": 2050, "dropped": {"score too low": 53}, "kept": 1997},
    ],
}
SCORES = """recipe\tstage\ttask\ttype\tmetric\tscore\tlow\thigh\treason
toy\tbase\tAlike\tSTS\tcosine_spearman\t0.500000\t0.400000\t0.600000\t
toy\tbase\tSearch\tRetrieval\tndcg_at_10\t0.646000\t0.600000\t0.700000\t
toy\tmerge\tAlike\tSTS\tcosine_spearman\t0.462000\t0.400000\t0.500000\t
toy\tmerge\tGroups\tClustering\tv_measure\t0.300000\t\t\tV-measure is not a mean over texts
toy\tmerge\tSearch\tRetrieval\tndcg_at_10\t0.733000\t0.700000\t0.760000\t
"""
TESTS = """recipe\tstage\tbaseline\ttask\tmetric\tdifference\tlow\thigh\
\tlow_adjusted\thigh_adjusted\tp_value\tp_adjusted\tunits\treason
toy\ttuned\tbase\tSearch\tndcg_at_10\t0.300000\t0.25\t0.35\t0.200000\t0.400000\t0.000100\t0.000300\t1400\t
toy\tmerge\tbase\tAlike\tcosine_spearman\t-0.038000\t-0.05\t-0.02\t-0.060000\t-0.010000\t0.010000\t0.020000\t99\t
toy\tmerge\tbase\tSearch\tndcg_at_10\t0.087000\t0.07\t0.10\t0.066000\t0.110000\t0.000100\t0.000300\t1400\t
"""
OF_PARENT = "toy\tmerge\ttuned\tSearch\tndcg_at_10\t0.01\t0.0\t0.02\t-0.010000\t0.030000\t0.1\t0.3\t1400\t\n"
NO_TESTS = TESTS.splitlines()[0] + "\n"


def text_of(page: str) -> str:
    """What a reader sees of a page, with single spaces."""
    seen = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", page, flags=re.DOTALL)
    seen = re.sub(r"<[^>]+>", "", re.sub(r"</?(td|tr|li|p|div)\b[^>]*>", " ", seen))
    return re.sub(r"\s+", " ", html.unescape(seen))


@pytest.fixture
def render(tmp_path):
    def run(
        scores: str = SCORES,
        tests: str = TESTS,
        stage: str = "merge",
        pages=("radar.svg", "scores.html"),
    ) -> str:
        settings = copy.deepcopy(SETTINGS)
        settings["recipe"]["release"]["stage"] = stage
        for name, text in (("scores.tsv", scores), ("significance.tsv", tests), ("audit.json", json.dumps(AUDIT))):
            (tmp_path / name).write_text(text)
        render_overview(
            check(ReleaseSettings, settings, "release.yaml"),
            tmp_path / "scores.tsv",
            tmp_path / "significance.tsv",
            [tmp_path / "audit.json"],
            [*(f"results/toy/report/{page}" for page in pages), "results/other/report/curves.svg"],
            tmp_path / "overview.html",
        )
        return (tmp_path / "overview.html").read_text()

    return run


def test_the_headline_is_the_first_retrieval_task_s(render):
    page = render()
    text = text_of(page)
    assert "Finds <letters> & more." in text
    assert "Finds &lt;letters&gt; &amp; more." in page
    assert "+0.087 nDCG@10 on Search: 0.733 by merge, which is released, and 0.646 by the base model." in text
    assert "95% interval of the difference: +0.066 to +0.110, paired over 1,400 queries." in text
    assert (
        "The released model is better (p < 0.001). Interval and p are adjusted for all 3 comparisons of the recipe."
        in text
    )
    assert "merge against the base, on 2 tasks: better on 1, worse on 1, no clear difference on 0." in text
    assert "Alike Spearman 0.500 0.462 \u22120.038 (\u22120.060 to \u22120.010) worse" in text
    assert "Groups V-measure – 0.300 the base was not evaluated on it" in text
    assert "0.300000" not in page and "+0.300" not in text  # the stage that is not released


@pytest.mark.parametrize(
    ("scores", "tests", "stage", "wanted", "unwanted"),
    [
        (
            SCORES,
            TESTS.replace("0.000300\t1400", "0.131000\t1400"),
            "merge",
            "No clear difference (p = 0.131)",
            "is better",
        ),
        (
            SCORES.replace("toy\tbase\tSearch", "toy\tbase\tOther"),
            NO_TESTS,
            "merge",
            "0.733 nDCG@10 on Search by merge, which is released. The base model was not evaluated on this task",
            "95%",
        ),
        (
            SCORES.replace("0.760000\t", "\tno mean over queries"),
            NO_TESTS,
            "merge",
            "The base model has 0.646. Whether this is chance was not tested: no mean over queries.",
            "95%",
        ),
        (SCORES, NO_TESTS, "base", "0.646 nDCG@10 on Search by base, which is released. The base model itself", "95%"),
        (
            SCORES,
            TESTS,
            "warm",
            "warm, the released stage, was not evaluated: there is no result to show.",
            "On every task",
        ),
        (
            SCORES,
            re.sub(r"(0\.087000\t0.07\t0.10\t).*", r"\1\t\t\t\t5\t5 queries cannot tell", TESTS),
            "merge",
            "and 0.646 by the base model. Not tested: 5 queries cannot tell.",
            "95% interval of the difference",
        ),
    ],
    ids=["chance", "no base", "untested", "base released", "not evaluated", "too few"],
)
def test_what_is_not_known_is_said(render, scores, tests, stage, wanted, unwanted):
    text = text_of(render(scores, tests, stage))
    assert wanted in text
    assert unwanted not in text


def test_without_a_base_there_is_no_column_of_it(render):
    scores = "".join(line + "\n" for line in SCORES.splitlines() if "\tbase\t" not in line)
    text = text_of(render(scores, NO_TESTS))
    assert "Alike Spearman 0.462 Groups V-measure 0.300 Search" in text
    assert "–" not in text


def test_the_headline_does_not_depend_on_the_scores(tmp_path):
    (tmp_path / "scores.tsv").write_text(SCORES)
    (tmp_path / "tests.tsv").write_text(TESTS)
    rows = compared(read_table(tmp_path / "scores.tsv"), read_table(tmp_path / "tests.tsv"), "merge")
    assert [row["task"] for row in rows] == ["Alike", "Groups", "Search"]
    assert headline(rows)["task"] == "Search"
    assert headline([row for row in rows if row["task"] != "Search"])["task"] == "Alike"
    untested = [row | {"difference": None} for row in rows]
    assert headline(untested)["task"] == "Search"
    assert headline(untested[:2])["task"] == "Alike"
    assert headline([]) is None


def test_each_stage_is_one_line():
    assert stages_in_words(check(ReleaseSettings, SETTINGS, "release.yaml").recipe) == [
        ("base", "tiny, weighted mean pooling, texts of up to 32 tokens"),
        ("warm", "from base, pre-trained with retromae, 2 passes over more, at most 1,000 steps"),
        (
            "tuned",
            "from warm, trained with infonce + cosent, 0.5 passes over pairs and more, hard negatives mined by warm",
        ),
        ("merge", "the weighted mean of models: 0.25 of base and 0.75 of tuned"),
    ]


def test_it_links_to_the_pages_that_there_are(render):
    page = render()
    assert re.findall(r'<a href="(.*?)"', page) == ["scores.html", "radar.svg"]
    assert "curves.svg" not in page
    assert "Training pairs: pairs, 1,997 of 2,050 rows kept." in text_of(page)
    assert "results/toy/release" in page and "team/toy" in page
    assert re.search(r"Made on \d{4}-\d\d-\d\d by Ascent \d+\.\d+\.\d+.*, with torch \d", text_of(page))


def test_it_shows_the_way_to_the_pairs_and_links_to_what_shows_the_data(render):
    page = render(pages=("samples-pairs.html", "statistics.html", "flow.svg"))
    assert re.findall(r'<a href="(.*?)"', page) == ["flow.svg", "statistics.html", "samples-pairs.html"]
    (picture,) = re.findall(r'<svg class="flow".*?</svg>', page, re.DOTALL)
    for words in (
        "2,100 rows",
        "50 (2.4%)",
        "elsewhere: split is test, not train",
        "53 (2.6%)",
        "1,997 training pairs",
    ):
        assert f">{words}<" in picture, words
    assert "Samples of pairs: pairs to read, and rows that each filter dropped" in text_of(page)


def test_no_style_of_it_reaches_the_rest_of_the_report(render):
    """The page is put into the report's first page, styles and all."""
    (style,) = re.findall(r"<style>(.*?)</style>", render(), re.DOTALL)
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL))
    assert len(selectors) > 20
    for selector in ",".join(selectors).split(","):
        assert ".front" in selector, selector


@pytest.mark.workflow
def test_the_report_opens_with_it(render, tmp_path, warm_python):
    """Snakemake's own report, whose first page is the description of the workflow, beside the graph of rules."""
    render()
    (tmp_path / "toy.html").write_text((tmp_path / "overview.html").read_text())
    (tmp_path / "Snakefile").write_text(
        f'report: "{ROOT}/docs/report/workflow.rst"\n'
        'rule render:\n    output: report("out/overview.html", category="toy")\n    shell: "cp toy.html {output}"\n'
    )
    for arguments in ([], ["--report", "report.html"]):
        command = [warm_python, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (found,) = re.findall(r"var workflow_desc = (\".*\");", (tmp_path / "report.html").read_text())
    text = text_of(json.loads(found))
    assert "+0.087 nDCG@10 on Search: 0.733 by merge" in text
    assert text.index("Where to look") < text.index("The rules that made it")


def test_a_merged_stage_is_told_beside_its_parent(render):
    page = text_of(render(tests=TESTS + OF_PARENT))
    assert "merge against its parent tuned: better on 0, worse on 0, no clear difference on 1." in page
    assert text_of(render()).split("How it was made")[0] == page.split("How it was made")[0].replace("all 4", "all 3")
