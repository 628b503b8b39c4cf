"""Pages of samples: what is drawn, whatever the parts and their order; nothing unseen, nothing that would run."""

import random
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from ascent.files import write_json
from ascent.pairs.draws import digest
from ascent.pairs.filtering import DROPPED_SCHEMA, filter_pairs
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.recipes.dataset_steps import dataset_steps
from ascent.report.samples import CHARACTERS, DROPPED, KEPT, language_tag, render_samples, visible
from ascent.settings.pairs import Dataset

ZH = "如果投保人在合同生效后两年内去世，保险公司是否必须支付全部赔偿金额？"


@pytest.fixture(scope="module")
def rows():
    draw = random.Random(2)
    kept = [Pair(f"question {i} of the client", f"answer {draw.random()}\nin two lines") for i in range(80)]
    short = [Pair(f"q{i}", "far <b>too</b> short a query") for i in range(15)]
    again = [kept[3], kept[3], kept[9]]
    other = [Pair("a question of the test", "its answer", split="test")]
    return [*kept, *short, *again, *other, Pair(ZH, ZH[::-1], ("<script>alert(1)</script>", "b", "c"))]


@pytest.fixture
def page(rows, tmp_path):
    """A function that filters the rows in parts and returns the page. of: the rows."""

    def render(of=rows, parts=1, scores=False):
        folder = tmp_path / f"{parts}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        settings = Dataset(corpus="toy", filters=[{"length": {"query": [5, 99], "positive": [1, 9999]}}, "duplicate"])
        corpus = [folder / f"corpus-{part}.parquet" for part in range(parts)]
        for part, path in enumerate(corpus):
            write_pairs(path, pair_frame(of[part::parts], "toy", "zho-Hans"))
        files, audits, dropped = corpus, [None] * parts, []
        for step in dataset_steps("toys", settings).passes:
            made = [folder / f"{step.folder}-{part}.parquet" for part in range(parts)]
            for part in range(parts):
                dropped.append(folder / f"dropped-{step.folder}-{part}.parquet")
                given = (files[: part + 1], made[part], dropped[-1])
                audits[part] = filter_pairs("toys", step.settings, *given, audit=audits[part])
            files = made
        paths = [folder / f"audit-{part}.json" for part in range(parts)]
        for path, audit in zip(paths, audits, strict=True):
            write_json(path, audit)
        paths.append(folder / "corpus.json")
        write_json(
            paths[-1],
            {"kind": "corpus", "corpus": "toy", "pairs": {}, "documents": {}, "warnings": []}
            | {"set_aside": {"no <text>": 7}, "examples": {"no <text>": ["a.jsonl:3", "a.jsonl:8"]}},
        )
        scored = []
        if scores:
            scored = [folder / "scores.parquet"]
            frame = pl.read_parquet(files[0]).select("query_id", "positive_id").with_row_index("score")
            frame.with_columns(pl.col("score") / 1000).write_parquet(scored[0])
        render_samples(paths, files, dropped, scored, folder / "page.html")
        return (folder / "page.html").read_text()

    return render


class Articles(HTMLParser):
    """The texts of each pair of a page, and the tags seen."""

    def __init__(self, page):
        super().__init__()
        self.found, self.tags, self.in_words = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "article":
            self.found.append((dict(attrs)["class"], []))
        if dict(attrs).get("class") == "words":
            self.in_words = True
            self.found[-1][1].append("")

    def handle_endtag(self, tag):
        self.in_words = self.in_words and tag != "div"

    def handle_data(self, data):
        if self.in_words:
            self.found[-1][1][-1] += data


def test_rows_are_drawn_by_their_texts(page, rows):
    found = Articles(page()).found
    kept = [texts for kind, texts in found if kind == "pair"]
    frame = pair_frame([row for row in dict.fromkeys(rows) if row.split == "train" and len(row.query) > 4], "", "")
    ranked = sorted(frame.iter_rows(named=True), key=lambda row: digest(0, row["query_id"], row["positive_id"]))
    assert [texts[0] for texts in kept] == [row["query"] for row in ranked[:KEPT]]
    short = {texts[0] for kind, texts in found if kind == "pair dropped" and re.match(r"q\d", texts[0])}
    assert len(short) == DROPPED
    again = [texts[0] for kind, texts in found if kind == "pair dropped" and texts[0] not in short]
    assert sorted(again) == sorted([rows[3].query, rows[9].query])  # the first of them was dropped twice


def test_counts_and_reasons_are_the_audit_s(page):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page()))
    assert "99 rows of the corpus toy are this data set's; 81 of them were kept, 18 dropped." in text
    assert "6 of 15" in text and "2 of 3" in text and "25 of 81" in text
    assert "a question of the test" not in text  # of another split: neither kept nor dropped
    assert "7no &lt;text&gt;a.jsonl:3; a.jsonl:8 …" in text.replace("> ", ">")


@pytest.mark.slow
def test_parts_and_the_order_of_rows_change_nothing(page, rows):
    first = [one for one in Articles(page()).found if one[0] == "pair"]
    assert first == [one for one in Articles(page(parts=3)).found if one[0] == "pair"]
    assert first == [one for one in Articles(page(rows[::-1])).found if one[0] == "pair"]


def test_nothing_of_a_text_is_markup(page, rows):
    html = page([*rows[-1:], *rows[80:82], Pair('"><img src=x onerror="1">', "</div></article><style>*{}</style>")])
    tags = Articles(html).tags
    assert {"script", "img", "b"}.isdisjoint(tag for tag, _ in tags)
    assert sum(tag == "style" for tag, _ in tags) == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "3 negatives" in html
    assert not re.search(r'(src|href)="(?!#)|https?:|<script|@import|url\(', html)
    assert all(attrs.get("lang") == "zh-Hans" for tag, attrs in tags if attrs.get("class") == "words")


def test_scores_stand_beside_the_pairs_that_have_them(page, rows):
    html = page(rows[:5], scores=True)
    assert sorted(re.findall(r'title="the teacher\'s score">([\d.]+)<', html)) == [
        "0.000",
        "0.001",
        "0.002",
        "0.003",
        "0.004",
    ]
    assert "the teacher's score" not in page(rows[:5])


def test_a_data_set_that_keeps_nothing_has_a_page(page, rows):
    html = page(rows[80:84])
    assert "No row was kept." in html and "4 of 4" in html
    assert "No filter dropped a row." in page(rows[:4])


def test_what_is_not_seen_is_marked():
    text = " two  spaces\tand\nlines\u200b\u00a0\x07<&>\u202e👩\u200d👧 "
    plain = re.sub(r"<[^>]+>", "", visible(text))
    assert plain == ("␣two␣␣spaces⇥\tand↵\nlinesU+200BU+00A0U+0007&lt;&amp;&gt;U+202E👩\u200d👧␣")
    assert 'title="zero width space"' in visible(text)
    assert visible(ZH) == ZH and visible("नमस्ते") == "नमस्ते"
    long = visible("字" * (CHARACTERS + 1234))
    assert long.count("字") == CHARACTERS and "… 1,234 more characters" in long


def test_languages_as_browsers_know_them():
    given = ("eng-Latn", "zho-Hans", "zho-Hant", "jpn-Jpan", "srp-Cyrl", "srp-Latn", "python-Code", "yue-Hant")
    assert [language_tag(each) for each in given] == [
        "en",
        "zh-Hans",
        "zh-Hant",
        "ja",
        "sr-Cyrl",
        "sr-Latn",
        "",
        "yue-Hant",
    ]


def test_the_schema_of_dropped_rows_has_what_the_page_shows():
    assert {"filter", "reason", "query", "positive", "negatives", "scores", "language"} <= set(DROPPED_SCHEMA.names)
