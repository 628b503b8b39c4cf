"""The picture of the way from rows to pairs: it shows all rows of the audits, in proportion, and nothing else."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from ascent.report.flow import HAIR, LEFT, LINE, WIDTH, WORDS, draw, draw_flows, flow_of, share


def entry(name, rows, **dropped):
    dropped = {reason.replace("_", " "): count for reason, count in dropped.items()}
    return {"filter": name, "in": rows, "changed": 0, "dropped": dropped, "kept": rows - sum(dropped.values())}


CORPUS = {"kind": "corpus", "corpus": "tickets", "set_aside": {"no text": 40, "bad <cell>": 10}}
AUDIT = {
    "kind": "pairs",
    "dataset": "questions",
    "corpus": "tickets",
    "filters": [
        entry("select", 1000, split_is_test=200),
        entry("clean", 800),
        entry("empty", 800),
        entry("length", 800, query_is_too_long=80, positive_is_too_short=20, nothing=0),
        entry("duplicate", 700, occurred_before=300),
    ],
    "augmentations": [{"augmentation": "word_swap", "in": 400, "added": 100, "replaced": 0}],
}


def width_of(shape) -> float:
    """The extent from left to right of where a branch leaves the stream, by its outline."""
    (first,) = re.findall(r"^M([\d.]+),", shape.path)
    (last,) = re.findall(r"A10,10 0 0 1 ([\d.]+),[\d.]+ Z$", shape.path)
    return float(last) - float(first)


def test_every_row_of_the_audits_is_on_the_way():
    flow = flow_of(AUDIT, CORPUS)
    assert [(step.name, step.rows, step.after) for step in flow.steps] == [
        ("read", 1050, 1000),
        ("select", 1000, 800),
        ("clean, empty", 800, 800),
        ("length", 800, 700),
        ("duplicate", 700, 400),
        ("word swap", 400, 500),
    ]
    assert flow.kept == 500
    branches = [(each.kind, each.reason, each.rows) for step in flow.steps for each in step.branches]
    assert branches == [
        ("set aside", "no text", 40),
        ("set aside", "bad <cell>", 10),
        ("elsewhere", "split is test", 200),
        ("dropped", "query is too long", 80),
        ("dropped", "positive is too short", 20),
        ("dropped", "occurred before", 300),
        ("added", "rows with altered texts", 100),
    ]
    gone = sum(rows for kind, _, rows in branches if kind != "added")
    assert 1050 - gone + 100 == flow.kept


def test_widths_are_in_proportion_to_rows():
    picture = draw(flow_of(AUDIT, CORPUS))
    stream, *branches = picture.shapes
    rows = [40, 10, 200, 80, 20, 300]
    for shape, count in zip(branches, rows, strict=False):
        assert width_of(shape) == pytest.approx(max(WIDTH * count / 1050, HAIR), abs=0.11), shape.title
    right = [float(x) for x in re.findall(r"L([\d.]+),", stream.path)]
    assert max(right) == pytest.approx(LEFT + WIDTH, abs=0.1)
    edges = [LEFT + WIDTH * left / 1050 for left in (1050, 1000, 800, 700, 400, 500)]
    assert all(any(abs(x - edge) < 0.1 for x in right) for edge in edges)
    down = [float(y) for y in re.findall(r"L[\d.]+,([\d.]+)", stream.path)]
    assert down[:-2] == sorted(down[:-2])  # all edges but those of the tip lead downwards
    corners = list(zip(right, down, strict=True))[:-2]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))  # no edge of the stream is slanted
    assert all(float(x) <= WORDS for shape in branches for x in re.findall(r"[ML]([\d.]+),", shape.path))


def test_huge_ratios_stay_legible():
    audit = AUDIT | {
        "filters": [
            entry("select", 100_000_000, split_is_test=1),
            entry("length", 99_999_999, query_is_too_long=99_999_990),
            entry("symbols", 9, few_letters=2),
        ],
        "augmentations": [],
    }
    picture = draw(flow_of(audit, None))
    for shape in picture.shapes[1:]:
        assert width_of(shape) >= HAIR - 0.1
    numbers = [words.text for words in picture.words if words.style == "number"]
    assert "1 (< 0.01%)" in numbers and "99,999,990 (> 99.9%)" in numbers and "2 (22.2%)" in numbers
    lines = sorted(words.y for words in picture.words if words.x == WORDS)
    assert all(below - above >= LINE - 0.1 for above, below in pairwise(lines))
    assert "7 training pairs" in numbers


def test_names_of_steps_fit_beside_the_stream_in_lines_of_their_own():
    names = ["clean", "empty", "contamination", "near_duplicate", "duplicate"]
    filters = [entry("select", 9), *(entry(name, 9) for name in names), entry("length", 9, too_long=1)]
    picture = draw(flow_of(AUDIT | {"filters": filters, "augmentations": []}, None))
    shown = [words for words in picture.words if words.style == "name"]
    assert [words.text for words in shown] == [
        "select, clean,",
        "empty,",
        "contamination,",
        "near_duplicate,",
        "duplicate",
        "length",
    ]
    assert all(below.y - above.y >= LINE for above, below in pairwise(shown))


def test_many_reasons_share_a_stream():
    counts = {f"reason_{i}": 100 - i for i in range(20)}
    (step,) = flow_of(AUDIT | {"filters": [entry("select", 5000, **counts)], "augmentations": []}, None).steps
    assert [each.reason for each in step.branches] == [*(f"reason {i}" for i in range(5)), "15 other reasons"]
    assert sum(each.rows for each in step.branches) == sum(counts.values())


def test_what_extractors_made_of_texts_is_told_in_words():
    made = {"extractor": "title_body", "taken": 1234, "left_out": {"it has no title": 34}, "pairs": 1000}
    flow = flow_of(AUDIT, CORPUS | {"extracted": [made]})
    assert flow.made_of == ["title_body made 1,000 pairs of 1,234 rows; 34 left out: it has no title"]


def test_shares():
    assert [
        share(*counts) for counts in ((0, 5), (1, 3), (1, 300), (1, 10**6), (10**6 - 1, 10**6), (5, 5), (0, 0))
    ] == [
        "0%",
        "33.3%",
        "0.33%",
        "< 0.01%",
        "> 99.9%",
        "100%",
        "0%",
    ]


def test_the_file_is_whole_and_the_same_each_time(tmp_path):
    audits = {"corpus": [CORPUS], "pairs": [AUDIT, AUDIT | {"dataset": "more"}]}
    for name in ("first", "second"):
        draw_flows(audits, tmp_path / f"{name}.svg")
    text = (tmp_path / "first.svg").read_text()
    assert text == (tmp_path / "second.svg").read_text()
    found = ElementTree.fromstring(text)
    words = ["".join(each.itertext()) for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert {"questions", "more", "500 training pairs", "300 (42.9%)", "set aside: bad <cell>"} <= set(words)
    assert not any("nothing" in each for each in words)  # a reason without rows
    assert "50.0% of the data set's 800 rows, 38.1% of all rows; 100 more were added" in words
