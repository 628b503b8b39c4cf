"""What each extractor makes of documents and rows, by hand; and how extractors work together (test_extraction.py)."""

import json
import random
from dataclasses import replace

import pytest

from ascent.corpora.extraction import Extraction
from ascent.errors import AscentError
from ascent.pairs.table import Document, Pair
from ascent.settings.corpora import Reading
from ascent.settings.validation import check
from support.pairs import normalised


def reading(*extract, **settings) -> Reading:
    reader = {"type": "text", "documents": {"train": ["*"]}}
    return check(Reading, {"reader": reader, "language": "eng-Latn", "extract": list(extract)} | settings, "the.yaml")


def extracted(rows, *extract, **settings):
    """The pairs that extractors make, and their audits."""
    extraction = Extraction(reading(*extract, **settings))
    return [row for row in extraction.rows(rows) if isinstance(row, Pair)], extraction.audit


def of_text(text, *extract, title="", **settings):
    """The texts of the pairs of one document, and why there are none."""
    pairs, audit = extracted([Document(text, "train", title=title)], *extract, **settings)
    assert all(pair.task == "retrieval" and pair.split == "train" and not pair.negatives for pair in pairs)
    return [(pair.query, pair.positive) for pair in pairs] or list(audit[0]["left_out"])


CATS = "# Cats\n\nCats purr. They sleep.\n\n## Food\n\nFish. Mice.\n\n## Rest\n"


# ---------------------------------------------------------------- documents


@pytest.mark.parametrize(
    ("text", "title", "expected"),
    [
        (CATS, "", [("Cats", "Cats purr. They sleep. ## Food Fish. Mice. ## Rest")]),
        (CATS, "Cats", [("Cats", "Cats purr. They sleep. ## Food Fish. Mice. ## Rest")]),
        (CATS, "About cats", [("About cats", "# Cats Cats purr. They sleep. ## Food Fish. Mice. ## Rest")]),
        ("They  purr.\n", "Cats", [("Cats", "They purr.")]),
        ("猫会打呼噜。", "猫", [("猫", "猫会打呼噜。")]),
        ("They purr.\n\n# Food\nFish.", "", ["it has no title"]),
        ("# Cats\n", "", ["it is nothing but a title"]),
    ],
)
def test_title_body(text, title, expected):
    assert of_text(text, "title_body", title=title) == expected


def test_of_a_long_body_the_first_passage_is_taken():
    assert of_text(CATS, "title_body", passages={"characters": 30}) == [("Cats", "Cats purr. They sleep. ## Food")]
    assert of_text(CATS, "title_body", passages={"characters": 12}) == [("Cats", "Cats purr.")]


@pytest.mark.parametrize(
    ("text", "title", "settings", "expected"),
    [
        (CATS, "", {}, [("Cats", "Cats purr. They sleep."), ("Cats Food", "Fish. Mice.")]),
        (CATS, "", {"with_title": False}, [("Cats", "Cats purr. They sleep."), ("Food", "Fish. Mice.")]),
        (CATS, "Pets", {}, [("Pets Cats", "Cats purr. They sleep."), ("Pets Food", "Fish. Mice.")]),
        ("Intro.\n\n猫\n===\n睡觉。", "", {}, [("猫", "睡觉。")]),
        (
            "NAME\n       ls - list\n\nSEE ALSO\n       dir(1)\n",
            "ls(1)",
            {},
            [("ls(1) NAME", "ls - list"), ("ls(1) SEE ALSO", "dir(1)")],
        ),
        ("no headings", "Cats", {}, ["it has no headings"]),
        ("# One\n# Two\n", "", {}, ["its headings have no text below them"]),
    ],
)
def test_heading_section(text, title, settings, expected):
    assert of_text(text, {"heading_section": settings}, title=title) == expected


FAQ = """\
# Questions

Why do cats purr? Nobody knows. (This is one paragraph of two sentences.)

**1. Do they sleep?**

A: They do.
They sleep all day. Don't you?

2. What do cats that live on farms
   eat?
Mice.

## Are they fun?

# Rest
No question.

Is this answered?
"""
CHINESE_FAQ = (
    "问：猫睡觉吗？\n答：睡。它们整天睡。\nQ2: 吃什么？\nA2: 鱼。\n\n为什么？\n\n问题：有名字吗？ 叫什么？\n有。\n"
)


def test_question_answer():
    assert of_text(FAQ, "question_answer") == [
        ("Do they sleep?", "They do. They sleep all day. Don't you?"),
        ("What do cats that live on farms eat?", "Mice."),
    ]
    assert of_text(CHINESE_FAQ, "question_answer") == [
        ("猫睡觉吗？", "睡。它们整天睡。"),
        ("吃什么？", "鱼。"),
        ("有名字吗？ 叫什么？", "有。"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "## Why is it so?\n\nBecause.\n\n### Really?\nYes.\n\nOf course.",
            [("Why is it so?", "Because."), ("Really?", "Yes. Of course.")],
        ),
        ("Why?\n====\n\nBecause. Why not?\n", [("Why?", "Because. Why not?")]),
        ("# Cats\nThey purr. Why?\n", ["it has no questions"]),
        ('A rule:\n\n   rule ::= "a" ","?\n\nThat was it.', ["it has no questions"]),
        ("Why?\n\n# Cats\nThey purr.", ["its questions have no answers"]),
        ("What is a question that is too long to be one?\nThis.", ["it has no questions"]),
    ],
)
def test_questions_in_other_places(text, expected):
    assert of_text(text, {"question_answer": {"longest": 30}}) == expected


def test_query_context():
    text = "One is first. Two is second. Three is third."
    sentences = ["One is first.", "Two is second.", "Three is third."]
    (pair,) = of_text(text, {"query_context": {"kept": 0.0}})
    assert pair[0] in sentences and pair[1] == " ".join(each for each in sentences if each != pair[0])
    assert of_text(text, {"query_context": {"kept": 1.0}}) == [(pair[0], text)]
    assert of_text("One sentence only.", "query_context") == ["it has no passage of two sentences"]
    # Of 300 documents each sentence is drawn about as often, and a tenth keep it.
    documents = [Document(f"{text} Text {number}.", "train") for number in range(300)]
    pairs, _ = extracted(documents, "query_context")
    drawn = [sum(pair.query == sentence for pair in pairs) for sentence in sentences]
    assert all(45 < count < 105 for count in drawn), drawn
    assert 15 < sum(pair.query in pair.positive for pair in pairs) < 45


def test_query_context_of_each_passage():
    text = "Aaaa. Bbbb. Cccc. Dddd. Eeee."
    pairs = of_text(text, {"query_context": {"kept": 0.0}}, passages={"characters": 11})
    assert [{*each} for each in pairs] == [{"Aaaa.", "Bbbb."}, {"Cccc.", "Dddd."}]


def test_neighbouring_passages():
    text = "Aaaa. Bbbb. Cccc. Dddd. Eeee."
    assert of_text(text, "neighbouring_passages", passages={"characters": 11}) == [
        ("Aaaa. Bbbb.", "Cccc. Dddd."),
        ("Cccc. Dddd.", "Eeee."),
    ]
    # What overlaps is in the query alone.
    overlapping = of_text(text, "neighbouring_passages", passages={"characters": 17, "overlap": 11})
    assert overlapping == [("Aaaa. Bbbb. Cccc.", "Dddd."), ("Bbbb. Cccc. Dddd.", "Eeee.")]
    assert of_text("Aaaa.", "neighbouring_passages", passages={"characters": 17}) == ["it is one passage"]
    with pytest.raises(
        AscentError, match=r"neighbouring_passages takes passages; say how to cut them, such as passages: {char"
    ):
        reading("neighbouring_passages")


def test_whole_text():
    assert of_text("Aaaa.\nBbbb.", "whole_text") == [("Aaaa. Bbbb.", "Aaaa. Bbbb.")]
    assert of_text("Aaaa. Bbbb.", "whole_text", passages={"characters": 5}) == [("Aaaa.", "Aaaa."), ("Bbbb.", "Bbbb.")]


# ---------------------------------------------------------------- rows


def nli(premise, hypothesis, label):
    return Pair(premise, hypothesis, label=float(label), task="pair-classification")


NLI = [
    nli("a man sleeps", "he rests", 0),
    nli("a man sleeps", "he runs", 2),
    nli("a man sleeps", "he is old", 1),
    nli("a cat", "an animal", 0),
    nli("a dog", "a cat", 2),
    nli("a man sleeps", "he jumps", 2),
    nli("a man sleeps", "a person is asleep", 0),
    nli("a man sleeps", "nobody knows", -1),
]


def test_nli_triples():
    pairs, (audit,) = extracted(NLI, {"nli_triples": {"negatives": 5}})
    assert [(pair.query, pair.positive, pair.negatives, pair.task, pair.label) for pair in pairs] == [
        ("a man sleeps", "a person is asleep", ("he jumps", "he runs"), "sts", None),
        ("a man sleeps", "he rests", ("he jumps", "he runs"), "sts", None),
    ]
    assert audit["taken"] == 8 and audit["used"] == 4
    assert audit["left_out"] == {
        "it is neither entailment nor contradiction": 2,
        "its premise has no contradictory hypothesis": 1,
        "its premise has no entailed hypothesis": 1,
    }
    one, _ = extracted(NLI, "nli_triples")
    assert [len(pair.negatives) for pair in one] == [1, 1]
    (turned,) = extracted(NLI, {"nli_triples": {"entailment": 2.0, "contradiction": 0.0, "negatives": 9}})[0][:1]
    assert (turned.positive, turned.negatives) == ("he jumps", ("a person is asleep", "he rests"))


def test_a_triple_has_the_origin_of_the_row_that_is_entailed():
    origins = ["fiction", "letters", "x", "x", "x", "travel", "face-to-face", "x"]
    rows = [replace(row, origin=origin) for row, origin in zip(NLI, origins, strict=True)]
    # Another subject has the same row, and one is not known.
    rows += [replace(rows[0], origin="nine"), replace(rows[0], origin=None)]
    for given in (rows, rows[::-1]):
        pairs, (audit,) = extracted(given, "nli_triples")
        assert [(pair.positive, pair.origin) for pair in pairs] == [
            ("a person is asleep", "face-to-face"),
            ("he rests", None),
            ("he rests", "fiction"),
            ("he rests", "nine"),
        ]
        assert audit["used"] == 6


def test_nli_labels_in_words(tmp_path):
    words = {0.0: "entailment", 1.0: "neutral", 2.0: "contradiction"}
    rows = [{"a": pair.query, "b": pair.positive, "label": words.get(pair.label, "-")} for pair in NLI]
    (tmp_path / "nli.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = {
        "query": "a",
        "positive": "b",
        "label": "label",
        "labels": {"entailment": 0.0, "neutral": 1.0, "contradiction": 2.0},
    }
    reader = {"pairs": {"train": ["nli.jsonl"]}, "columns": columns, "task": "pair-classification"}
    pairs, _, audit = normalised("nli", reading("nli_triples", reader=reader), tmp_path)
    assert pairs["positive"].to_list() == ["a person is asleep", "he rests"]
    assert audit["set_aside"] == {"label is neither a number nor among `labels`": 1}
    assert audit["pairs"] == {"train sts": 2}


def test_graded_pairs():
    rows = [Pair("a", str(score), label=score, task="sts") for score in (0.0, 2.0, 4.0, 5.0, 6.0)] + [
        Pair("a", "b", task="sts")
    ]
    pairs, (audit,) = extracted(rows, "graded_pairs")
    assert [(pair.positive, pair.label) for pair in pairs] == [("0.0", 0.0), ("2.0", 0.4), ("4.0", 0.8), ("5.0", 1.0)]
    assert audit["left_out"] == {"it has no label": 1, "its label is outside of range [0.0, 5.0]": 1}
    high, (audit,) = extracted(rows, {"graded_pairs": {"positives_from": 4, "task": "retrieval"}})
    assert [(pair.positive, pair.label, pair.task) for pair in high] == [
        ("4.0", None, "retrieval"),
        ("5.0", None, "retrieval"),
    ]
    assert audit["left_out"]["its label is below 4.0"] == 2
    scaled, _ = extracted(rows, {"graded_pairs": {"range": [-6, 6]}})
    assert [pair.label for pair in scaled] == [0.5, 8 / 12, 10 / 12, 11 / 12, 1.0]


def test_label_as_positive():
    rows = [
        Pair("good", "1", task="classification"),
        Pair("bad", "0", task="classification"),
        Pair("?", "2", task="classification"),
    ]
    names = {"0": "a bad review", "1": "a good review", "3": "a mixed review"}
    pairs, (audit,) = extracted(rows, {"label_as_positive": {"names": names, "negatives": 2}})
    assert [(pair.query, pair.positive, set(pair.negatives)) for pair in pairs] == [
        ("good", "a good review", {"a bad review", "a mixed review"}),
        ("bad", "a bad review", {"a good review", "a mixed review"}),
    ]
    assert audit["left_out"] == {"its class is not among names": 1}
    plain, _ = extracted(rows, "label_as_positive")
    assert [(pair.positive, pair.negatives) for pair in plain] == [("1", ()), ("0", ()), ("2", ())]


def classed(count, classes, seed=0):
    draw = random.Random(seed)
    return [
        Pair(f"text {number}", f"class {draw.randrange(classes)}", task="classification") for number in range(count)
    ]


def test_same_class_pairs():
    rows = [*classed(200, 7), Pair("alone", "lonely", task="classification")]
    classes = {pair.query: pair.positive for pair in rows}
    pairs, (audit,) = extracted(rows, {"same_class_pairs": {"negatives": 3, "pool": 8}})
    assert audit["left_out"] == {"its class has no other text": 1} and audit["examples"] == {
        "its class has no other text": ["alone"]
    }
    assert {pair.query for pair in pairs} == classes.keys() - {"alone"}
    for pair in pairs:
        assert (
            pair.task == "clustering" and pair.query != pair.positive and classes[pair.query] == classes[pair.positive]
        )
        others = [classes[text] for text in pair.negatives]
        assert len(set(others)) == 3 and classes[pair.query] not in others
    for name in {*classes.values()} - {"lonely"}:  # no text outside of a class's pool answers
        assert 2 <= len({pair.positive for pair in pairs if classes[pair.query] == name}) <= 8
    two = [row for row in rows if row.positive in ("class 0", "lonely")]
    assert {len(pair.negatives) for pair in extracted(two, {"same_class_pairs": {"negatives": 3}})[0]} == {1}


def test_a_text_of_two_classes_gets_no_negative_of_either():
    rows = [*classed(60, 3), *(Pair("both", f"class {number}", task="classification") for number in range(2))]
    classes = {pair.query: pair.positive for pair in rows}
    pairs, _ = extracted(rows, {"same_class_pairs": {"negatives": 3}})
    both = [pair for pair in pairs if pair.query == "both"]
    assert len(both) == 2 and {classes[text] for pair in both for text in pair.negatives} == {"class 2"}


def test_a_pair_of_a_class_has_the_origin_of_its_query():
    rows = [replace(row, origin=f"site {place % 5}" if place % 5 else None) for place, row in enumerate(classed(60, 3))]
    origins = {row.query: row.origin for row in rows}
    pairs, _ = extracted(rows, "same_class_pairs")
    assert {pair.query: pair.origin for pair in pairs} == origins and len(pairs) == 60
    assert any(origins[pair.positive] != pair.origin for pair in pairs)


def test_too_many_classes_stop_the_run():
    rows = [Pair(f"text {number}", f"id {number}", task="classification") for number in range(4)]
    with pytest.raises(
        AscentError, match=r"same_class_pairs: more than 3 classes, such as 'id 3'; name a column of classes and"
    ):
        extracted(rows, {"same_class_pairs": {"classes": 3}})
    assert len(extracted(rows, {"same_class_pairs": {"classes": 4}})[1][0]["left_out"]) == 1


def test_sentence_edit():
    before = "Cats purr loud. They sleep all day. The end is near. Dogs bark."
    after = "Cats purr loudly. A new sentence comes in. They sleep the whole day. Dogs bark. Nothing else."
    pairs, _ = extracted([Pair(before, after)], "sentence_edit")
    assert [(pair.query, pair.positive, pair.task) for pair in pairs] == [
        ("Cats purr loud.", "Cats purr loudly.", "sts"),
        ("They sleep all day.", "They sleep the whole day.", "sts"),
    ]
    rows = [Pair(before, before), Pair(before, before + " More."), Pair("One thing.", "Quite unlike: 12345!")]
    assert extracted(rows, "sentence_edit")[1][0]["left_out"] == {
        "no sentence was edited": 2,
        "no two sentences are alike enough": 1,
    }
    assert (
        extracted([Pair("保险是制度。二。", "保险是一种制度。二。")], "sentence_edit")[0][0].positive
        == "保险是一种制度。"
    )


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        ([{"graded_pairs": {"range": [5, 0]}}], r"range \[5.0, 0.0\] holds no scores; write the lowest first"),
        ([{"graded_pairs": {"positives_from": 9}}], r"positives_from 9.0 is outside of range"),
        (
            [{"label_as_positive": {"negatives": 2, "names": {"a": "b", "c": "d"}}}],
            r"negatives 2 are other classes of names, which has 2",
        ),
        ([{"title_body": {"split": "train"}}], r"split"),
        (["titles"], r"titles"),
        (
            [{"title_body": {}, "whole_text": {}}],
            r"an item of the list is one extractor, and this one names whole_text, title_body",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(extract, message):
    with pytest.raises(AscentError, match=message):
        reading(*extract)
