"""Statistics of tables, against plain Python over the same rows."""

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from ascent.pairs.database import Database
from ascent.pairs.draws import digest, rank_in_sql
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.report import lengths, statistics
from ascent.report.lengths import SHARES, histogram, quantiles
from ascent.report.statistics import describe
from ascent.report.statistics_page import joined_counts

ENGLISH = "How long must a policy be kept before the insurer pays the whole sum to the family?"
CHINESE = "如果投保人在合同生效后两年内去世,保险公司是否必须向其家人支付全部赔偿金额?请说明理由。"


@pytest.fixture(scope="module")
def rows():
    """Pairs of three groups: retrieval with negatives and repetitions, classes, graded pairs; in several scripts."""
    draw = random.Random(5)
    words = "insurance 保险 policy Straße 🙂 claim naïve 赔偿 a\u0301 covers\nlines".split(" ")

    def text(most):
        return " ".join(draw.choices(words, k=draw.randint(1, most)))

    found = [
        Pair(text(4), text(30), tuple(text(9) for _ in range(draw.randint(0, 6))), split=draw.choice(["train", "test"]))
        for _ in range(300)
    ]
    found += [Pair(ENGLISH, CHINESE, ("no",), scores=(1.0, 0.5)), Pair(CHINESE, ENGLISH), Pair(ENGLISH, ENGLISH)]
    found += [Pair(text(9), f"class {min(draw.randint(0, 9), 6)}", task="classification") for _ in range(200)]
    found += [Pair(text(9), text(9), label=draw.choice([0, 0.25, 1.0]), task="sts", split="test") for _ in range(50)]
    draw.shuffle(found)
    return found


@pytest.fixture(scope="module")
def files(rows, tmp_path_factory):
    """The rows in one part, and in three in another order; the documents likewise."""
    folder, made = tmp_path_factory.mktemp("tables"), {}
    documents = [Document(f"{i} {ENGLISH * (i % 3)}", "test") for i in range(70)]
    for parts, ordered in ((1, rows), (3, rows[::-1])):
        pairs, texts = [], []
        for part in range(parts):
            pairs.append(folder / f"pairs-{part}-of-{parts}.parquet")
            write_pairs(pairs[-1], pair_frame(ordered[part::parts], "toy", "eng-Latn"))
            texts.append(folder / f"documents-{part}-of-{parts}.parquet")
            write_documents(texts[-1], document_frame(documents[part::parts]))
        made[parts] = (pairs, texts)
    return made


def by_hand(values):
    """The quantiles of values by their definition, in exact fractions."""
    values = sorted(values)
    at_most = {value: Fraction(place, len(values)) for place, value in enumerate(values, 1)}
    return {str(q): min(v for v in at_most if at_most[v] >= Fraction(str(q))) if q else values[0] for q in SHARES}


def test_all_numbers_are_those_of_plain_python(rows, files):
    found = describe("toy", *files[1])
    assert (found["unit"], found["parts"]) == ("words", [len(rows)])
    groups = {(group["split"], group["task"]): group for group in found["groups"]}
    assert list(groups) == [
        ("train", "classification"),
        ("train", "retrieval"),
        ("test", "retrieval"),
        ("test", "sts"),
        ("test", "documents"),
    ]
    for (split, task), group in groups.items():
        own = [row for row in rows if (row.split, row.task) == (split, task)]
        if task == "documents":
            continue
        assert group["rows"] == group["drawn"] == len(own)
        assert group["languages_named"] == {"eng-Latn": len(own)}
        assert group["negatives"] == {
            str(n): count for n, count in sorted(Counter(len(row.negatives) for row in own).items())
        }
        sides = {
            "query": [row.query for row in own],
            "positive": [row.positive for row in own],
            "negative": [text for row in own for text in row.negatives],
        }
        for side, texts in sides.items():
            assert (side in group["sides"]) == bool(texts)
            if not texts:
                continue
            characters = group["sides"][side]["characters"]
            assert group["sides"][side]["texts"] == len(texts)
            assert characters["total"] == sum(map(len, texts))
            assert characters["quantiles"] == by_hand([len(text) for text in texts])
            assert sum(count for _, count in characters["histogram"]) == len(texts)
        for what, of in {
            "query": lambda row: " ".join(row.query.split()),
            "positive": lambda row: " ".join(row.positive.split()),
            "row": lambda row: (" ".join(row.query.split()), " ".join(row.positive.split())),
        }.items():
            often = Counter(map(of, own))
            assert group["repeats"][what] == {"distinct": len(often), "most": max(often.values())}, what
    (documents,) = (group for key, group in groups.items() if key[1] == "documents")
    assert documents["rows"] == 70 and documents["repeats"]["text"] == {"distinct": 70, "most": 1}
    assert groups["train", "retrieval"]["same_text_twice"] == 1
    assert groups["train", "retrieval"]["scored"] == 1


def test_classes_and_labels(rows, files):
    groups = {(group["split"], group["task"]): group for group in describe("toy", *files[1])["groups"]}
    counts = Counter(row.positive for row in rows if row.task == "classification")
    classes = groups["train", "classification"]["classes"]
    shares = [count / 200 for count in counts.values()]
    assert classes["frequent"] == [list(one) for one in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
    assert (classes["number"], classes["rare"]) == (7, [])
    assert (classes["most"], classes["least"]) == (max(counts.values()), min(counts.values()))
    entropy = -sum(share * math.log(share) for share in shares)
    assert classes["evenness"] == pytest.approx(entropy / math.log(7), abs=1e-12)
    labels = Counter(row.label for row in rows if row.task == "sts")
    assert groups["test", "sts"]["labels"]["counts"] == [list(one) for one in sorted(labels.items())]
    assert groups["test", "sts"]["labels"]["width"] == 0
    assert "labels" not in groups["train", "retrieval"] and "classes" not in groups["train", "retrieval"]


def test_many_classes_and_many_labels_are_summed_up(tmp_path):
    pairs = [Pair(f"q {i}", f"class {int(i**0.5):02d}", task="classification") for i in range(900)]
    pairs += [Pair(f"q {i}", f"p {i}", label=i / 200, task="sts") for i in range(201)]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(pairs, "toy", "eng-Latn"))
    classes, graded = describe("toy", [tmp_path / "pairs.parquet"])["groups"]
    assert classes["classes"]["number"] == 30
    assert classes["classes"]["frequent"] == [[f"class {i}", 2 * i + 1] for i in range(29, 19, -1)]
    assert classes["classes"]["rare"] == [[f"class {i:02d}", 2 * i + 1] for i in range(9, -1, -1)]
    assert graded["labels"]["width"] == pytest.approx(0.05)
    expected, edges = np.histogram([i / 200 for i in range(201)], bins=20, range=(0, 1))
    assert sum(count for _, count in graded["labels"]["counts"]) == 201
    assert [lower for lower, _ in graded["labels"]["counts"]] == pytest.approx(list(edges[:-1]))
    # At an edge the sides of floating point differ by one.
    assert np.abs(np.array([count for _, count in graded["labels"]["counts"]]) - expected).max() <= 1


def test_parts_and_the_order_of_rows_change_nothing(files, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWN", 40)
    one, three = (describe("toy", *files[parts]) for parts in (1, 3))
    assert one["groups"] == three["groups"]
    assert [len(one["parts"]), len(three["parts"])] == [1, 3] and sum(three["parts"]) == sum(one["parts"])
    assert all(group["drawn"] == 40 for group in one["groups"] if group["rows"] > 40)


def test_tokens_are_counted_where_rows_are_few_and_estimated_where_they_are_many(files, rows, tmp_path, monkeypatch):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "tiny").mkdir()
    tokenizer.save(str(tmp_path / "tiny" / "tokenizer.json"))
    own = [row for row in rows if (row.split, row.task) == ("train", "retrieval")]
    truth = {"query": sum(len(r.query.split()) for r in own), "positive": sum(len(r.positive.split()) for r in own)}

    def sides():
        found = describe("toy", files[1][0], model=tmp_path / "tiny")
        assert found["unit"] == "tokens of tiny"
        return next(group for group in found["groups"] if group["task"] == "retrieval")["sides"]

    counted = sides()
    for side, total in truth.items():
        assert counted[side]["units"]["is_exact"] and counted[side]["units"]["total"] == total
    spaced = [len(row.query.split()) for row in own]
    assert counted["query"]["units"]["quantiles"] == by_hand(spaced)
    monkeypatch.setattr(statistics, "DRAWN", 60)
    estimated = sides()
    for side, total in truth.items():
        assert not estimated[side]["units"]["is_exact"]
        assert estimated[side]["units"]["total"] == pytest.approx(total, rel=0.1)
    monkeypatch.setattr(statistics, "DRAWN", 2000)
    monkeypatch.setattr(lengths, "CHARACTERS", 40)  # long texts are cut, and count in proportion
    cut = sides()
    assert not cut["positive"]["units"]["is_exact"]
    assert cut["positive"]["units"]["total"] == pytest.approx(truth["positive"], rel=0.1)


def test_languages_are_told_in_either_script(files):
    groups = {(group["split"], group["task"]): group for group in describe("toy", *files[1])["groups"]}
    named = groups["test", "documents"]["languages"]["text"]
    assert set(named) == {"en", ""} and named["en"] == 46
    both = groups["train", "retrieval"]["languages"]
    assert both["query"]["zh"] >= 1 and both["query"]["en"] >= 2
    assert "positive" not in groups["train", "classification"]["languages"]  # a class is not a text


def test_what_is_too_short_to_tell_is_not_among_other_languages():
    assert joined_counts({"": 90, "zh": 6, "en": 4}) == "zh 6.0%, en 4.0%, too short to tell 90.0%"
    counts = {"": 90, "zh": 4, "en": 3, "de": 2, "it": 1}
    assert joined_counts(counts, 3) == "zh 4.0%, others 6.0%, too short to tell 90.0%"
    assert joined_counts({"zh": 4, "en": 3, "de": 2, "it": 1}, 3) == "zh 40.0%, en 30.0%, others 30.0%"


def test_quantiles_and_bins():
    draw = random.Random(1)
    values = [draw.randint(1, 400) for _ in range(997)]
    found = quantiles(Counter(values).items())
    assert found == {str(q): np.quantile(values, q, method="inverted_cdf") for q in SHARES}
    bins = histogram(Counter(values).items())
    ends = [low for low, _ in bins[1:]] + [512]
    assert [low for low, _ in bins][:9] == [1, 2, 3, 4, 6, 8, 12, 16, 23]
    assert [count for _, count in bins] == [
        sum(low <= value < end for value in values) for (low, _), end in zip(bins, ends, strict=True)
    ]


def test_rows_are_drawn_as_elsewhere(tmp_path):
    with Database(tmp_path) as database:
        sql = f"SELECT {rank_in_sql(7, 'a', 'b')} FROM (SELECT 'x y' AS a, '保险' AS b)"
        assert database.execute(sql).fetchone()[0] == digest(7, "x y", "保险")


def test_a_corpus_of_texts_alone_has_documents_only(tmp_path):
    write_pairs(tmp_path / "pairs.parquet", pair_frame([], "toy", "eng-Latn"))
    write_documents(tmp_path / "documents.parquet", document_frame([Document("one text", "train")]))
    (group,) = describe("toy", [tmp_path / "pairs.parquet"], [tmp_path / "documents.parquet"])["groups"]
    assert (group["task"], group["rows"], group["sides"]["text"]["characters"]["total"]) == ("documents", 1, 8)


def test_a_frame_is_read_back_as_polars_counts_it(files):
    """The engine's length is the number of code points, as Python's and polars'."""
    frame = pl.read_parquet(files[1][0])
    total = sum(group["sides"]["query"]["characters"]["total"] for group in describe("toy", files[1][0])["groups"])
    assert total == frame["query"].str.len_chars().sum()
