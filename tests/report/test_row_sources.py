"""Statistics by source, against plain Python over the same rows."""

import random
import re
from collections import Counter, defaultdict
from urllib.parse import urlsplit

import pytest

from ascent.files import write_json
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.report import sources
from ascent.report.flow import share
from ascent.report.lengths import quantiles
from ascent.report.statistics import describe
from ascent.report.statistics_page import render_statistics

ENGLISH = "How long must a policy be kept before the insurer pays the whole sum"
CHINESE = "如果投保人在合同生效后两年内去世,保险公司是否必须向其家人支付全部赔偿金额"
# An origin, with how many rows and what their source is called.
ORIGINS = [
    ("https://user@Forum.example:8080/{}?a#b", 90, "forum.example"),
    ("HTTP://forum.example/{}", 30, "forum.example"),
    ("a folder/faq.jsonl:{}", 70, "a folder/faq.jsonl"),
    ("寿险", 60, "寿险"),
    *((f"d{number:02}", 8 + number, f"d{number:02}") for number in range(9)),
    (None, 25, None),
]


@pytest.fixture(scope="module")
def rows():
    draw, found = random.Random(3), []
    for origin, count, name in ORIGINS:
        for place in range(count):
            text = CHINESE if name == "寿险" else ENGLISH
            query = f"{text[: draw.randint(20, 40)]} {place % 9 if name == '寿险' else place}"
            given = {"origin": origin and origin.format(place), "split": draw.choice(["train", "test"])}
            wrong = tuple(text[:n] for n in range(draw.randint(0, 6)) if n)
            found.append(Pair(query, text[: draw.randint(30, 40)], wrong, **given))
            found.append(Pair(query, f"class {draw.randint(0, 1 + place % 3)}", task="classification", **given))
            found.append(Pair(query, text, label=place % 4 / 4, task="sts", **given))
    draw.shuffle(found)
    return found


def described(folder, rows, documents=(), parts=1):
    pairs, texts = [], []
    for part in range(parts):
        pairs.append(folder / f"pairs-{part}-of-{parts}.parquet")
        texts.append(folder / f"documents-{part}-of-{parts}.parquet")
        write_pairs(pairs[-1], pair_frame(rows[part::parts], "toy", "eng-Latn"))
        write_documents(texts[-1], document_frame(documents[part::parts]))
    return {(group["split"], group["task"]): group for group in describe("toy", pairs, texts)["groups"]}


def source_of(origin):
    """A row's source, by Python's own reading of addresses."""
    if origin is None:
        return None
    return urlsplit(origin).hostname or re.sub(r":[0-9]+\Z", "", re.sub(r"#char=[0-9]+,[0-9]+\Z", "", origin))


def test_all_numbers_are_those_of_plain_python(rows, tmp_path):
    assert {source_of(row.origin) for row in rows} == {name for *_, name in ORIGINS}
    for (split, task), group in described(tmp_path, rows).items():
        by_source = defaultdict(list)
        for row in rows:
            if (row.split, row.task) == (split, task):
                by_source[source_of(row.origin)].append(row)
        unknown = by_source.pop(None)
        order = sorted(by_source, key=lambda name: (-len(by_source[name]), name))
        others = [row for name in order[10:] for row in by_source[name]]
        expected = [("named", name, by_source[name]) for name in order[:10]]
        expected += [("others", None, others), ("unknown", None, unknown)]
        assert group["sources"]["number"] == 12
        assert [(one["kind"], one["name"]) for one in group["sources"]["named"]] == [one[:2] for one in expected]
        for found, (_, name, own) in zip(group["sources"]["named"], expected, strict=True):
            assert (found["rows"], found["drawn"]) == (len(own), len(own))
            assert found["distinct"] == len({(row.query, row.positive) for row in own})
            negatives = [text for row in own for text in row.negatives]
            texts = {"query": [row.query for row in own], "positive": [row.positive for row in own]}
            texts |= {"negative": negatives} if negatives else {}
            assert list(found["sides"]) == list(texts)
            for side, of_side in texts.items():
                characters = {
                    "total": sum(map(len, of_side)),
                    "quantiles": quantiles(Counter(map(len, of_side)).items()),
                }
                assert found["sides"][side]["characters"] == characters
            assert max(found["languages"], key=found["languages"].get) == ("zh" if name == "寿险" else "en")
            classes = Counter(row.positive for row in own)
            if task == "classification":
                most = max(classes.values())
                frequent = min(text for text in classes if classes[text] == most)
                assert found["classes"] == {"number": len(classes), "most": most, "frequent": frequent}
            assert ("classes" in found, "label" in found) == (task == "classification", task == "sts")
            if task == "sts":
                assert found["label"] == pytest.approx(sum(row.label for row in own) / len(own))
        assert sum(one["rows"] for one in group["sources"]["named"]) == group["rows"]
        for side, whole in group["sides"].items():
            parts = [one["sides"][side] for one in group["sources"]["named"] if side in one["sides"]]
            for key in ("characters", "units"):
                if side != "negative" or key == "characters":  # of each row four negatives are counted in words
                    assert sum(part[key]["total"] for part in parts) == whole[key]["total"]


def test_parts_the_order_of_rows_and_the_draw_change_little(rows, tmp_path, monkeypatch):
    rows = [row for row in rows if row.task == "retrieval"]
    whole = described(tmp_path, rows)
    monkeypatch.setattr(sources, "DRAWN", 12)
    one, three = described(tmp_path, rows), described(tmp_path, rows[::-1], parts=3)
    assert one == three
    for key, group in one.items():
        for found, counted in zip(group["sources"]["named"], whole[key]["sources"]["named"], strict=True):
            assert found["drawn"] == min(12, found["rows"]) and found["rows"] == counted["rows"]
            total = counted["sides"]["query"]["units"]["total"]
            assert found["sides"]["query"]["units"]["total"] == pytest.approx(total, rel=0.25)


def test_classes_may_have_labels_too(tmp_path):
    rows = [Pair(f"q {place}", "joy", label=place / 4, task="classification", origin="a") for place in range(5)]
    (source,) = described(tmp_path, rows)["train", "classification"]["sources"]["named"]
    assert (source["classes"], source["label"]) == ({"number": 1, "most": 5, "frequent": "joy"}, 0.5)


def test_passages_count_as_their_documents(tmp_path):
    origins = [f"{name}#char={place},{place + 9}" for name in ("a.md", "b.txt:7", "b.txt:8") for place in range(4)]
    documents = [Document(f"{ENGLISH} {place}", "train", origin=origin) for place, origin in enumerate(origins)]
    documents += [Document("no one knows where from", "train")]
    group = described(tmp_path, [], documents)["train", "documents"]
    assert group["sources"]["number"] == 2
    found = [(one["kind"], one["name"], one["rows"], list(one["sides"])) for one in group["sources"]["named"]]
    assert found == [("named", "b.txt", 8, ["text"]), ("named", "a.md", 4, ["text"]), ("unknown", None, 1, ["text"])]


def test_a_group_without_origins_has_no_sources(rows, tmp_path):
    """Though another has some."""
    alone = [Pair(ENGLISH, CHINESE, split="validation")]
    assert "sources" not in described(tmp_path, alone)["validation", "retrieval"]
    assert "sources" not in described(tmp_path, [*rows[:9], *alone])["validation", "retrieval"]


def rendered(folder, rows):
    """The page's tables by source, as lists of rows of cells; and its facts about sources."""
    described(folder, rows)
    (folder / "pairs" / "toy").mkdir(parents=True)
    write_json(folder / "pairs" / "toy" / "statistics.json", describe("toy", [folder / "pairs-0-of-1.parquet"]))
    render_statistics([folder / "pairs" / "toy" / "statistics.json"], [], folder / "page.html")
    page = (folder / "page.html").read_text()
    cells = [
        [
            [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r'<table class="sources">(.*?)</table>', page, re.DOTALL)
    ]
    return cells, re.findall(r"<dt>Sources</dt><dd>(.*?)</dd>", page)


def test_the_page_has_a_table_of_the_largest_sources(rows, tmp_path):
    tables, facts = rendered(tmp_path, rows)
    assert len(tables) == 6 and facts == []
    train = [row for row in rows if row.split == "train"]
    for (heads, *lines), task in zip(tables[:3], ("classification", "retrieval", "sts"), strict=True):
        own = [row for row in train if row.task == task]
        counts = Counter(source_of(row.origin) for row in own)
        assert heads[:2] == ["Source", "Rows"] and ("Most frequent class" in heads) == (task == "classification")
        assert lines[-2][0] == "2 others" and lines[-1][:2] == ["without an origin", str(counts[None])]
        assert lines[0][:3] == ["forum.example", str(counts["forum.example"]), share(counts["forum.example"], len(own))]
        assert {"寿险", "a folder/faq.jsonl"} < {line[0] for line in lines}
        assert all(len(line) == len(heads) for line in lines)


def test_sources_of_a_row_each_are_counted_in_a_sentence(tmp_path):
    rows = [Pair(f"{ENGLISH} {place}", CHINESE, origin=f"id {place // 2 * 2 % 12}") for place in range(9)]
    assert rendered(tmp_path, [*rows, Pair(ENGLISH, CHINESE)]) == ([], ["5, none of more than 2 rows; 1 row has none"])
