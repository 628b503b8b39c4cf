"""The reader `insuranceqa`: the published slice, both languages."""

import gzip
import json
import random

import pytest

from ascent.errors import AscentError
from support.corpora import corpus
from support.pairs import normalised

# ------------------------------------------------------------------ insuranceqa


@pytest.fixture
def insuranceqa(tmp_path):
    draw = random.Random(1)
    answers = {str(i): {"en": f"Answer  {i}.", "zh": f"答案 {i}"} for i in range(1, 301)}

    def questions(split, count):
        return {
            str(i): {
                "en": f"{split} question {i}?",
                "zh": f"{split} 问题 {i}?",
                "domain": draw.choice(["auto-insurance", "life-insurance"]),
                "answers": draw.sample(list(answers), draw.randint(1, 3)),
                "negatives": draw.sample(list(answers), 200),
            }
            for i in range(count)
        }

    parts = {"train": questions("train", 90), "valid": questions("valid", 40), "test": questions("test", 40)}
    for name, content in (parts | {"answers": answers}).items():
        (tmp_path / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    return tmp_path, parts, answers


def test_the_slice_is_the_one_that_published_figures_use(insuranceqa):
    folder, parts, answers = insuranceqa
    settings = corpus("insuranceqa", slice={"train": 50, "test": 20, "validation": 20, "pool": 100, "seed": 0})
    pairs, documents, audit = normalised("insurance", settings, folder)

    # The recipe of the slice, word for word, with the global random state.
    random.seed(0)
    questions = random.sample(sorted(parts["test"]), 20)
    pool = sorted({a for q in questions for a in parts["test"][q]["answers"]})
    others = [a for a in answers if a not in set(pool)]
    random.shuffle(others)
    pool = pool + others[: 100 - len(pool)]
    training = random.sample(sorted(parts["train"]), 50)

    def rows(split, task="retrieval"):
        return [r for r in pairs.iter_rows(named=True) if (r["split"], r["task"]) == (split, task)]

    assert [(r["query"], r["positive"]) for r in rows("train")] == [
        (f"train question {q}?", f"Answer {parts['train'][q]['answers'][0]}.") for q in training
    ]
    assert [(r["query"], r["positive"]) for r in rows("test")] == [
        (f"test question {q}?", f"Answer {a}.") for q in questions for a in parts["test"][q]["answers"]
    ]
    assert [r["text"] for r in documents.iter_rows(named=True) if r["split"] == "test"] == [
        f"Answer {a}." for a in pool
    ]
    assert rows("test")[0]["negatives"] == [f"Answer {a}." for a in parts["test"][questions[0]]["negatives"][:20]]
    assert rows("train")[0]["negatives"] == []
    assert [r["origin"] for r in rows("train")] == [parts["train"][q]["domain"] for q in training]
    assert [(r["query"], r["positive"], r["origin"]) for r in rows("train", "classification")] == [
        (f"train question {q}?", *[parts["train"][q]["domain"]] * 2) for q in training
    ]
    # The validation slice draws like the test slice: equal parts and seed give equal question numbers.
    assert [r["query"] for r in rows("validation", "classification")] == [f"valid question {q}?" for q in questions]
    assert audit["documents"] == {
        "test": 100,
        "train": len({r["positive"] for r in rows("train")}),
        "validation": 100,
    }


def test_without_a_slice_everything_is_read_in_either_language(insuranceqa):
    folder, parts, answers = insuranceqa
    pairs, _, audit = normalised("insurance", corpus("insuranceqa", language="zh"), folder)
    assert audit["pairs"]["train retrieval"] == 90
    assert audit["pairs"]["test retrieval"] == sum(len(q["answers"]) for q in parts["test"].values())
    assert audit["documents"]["test"] == len(answers)
    assert pairs["query"][0] == "train 问题 0?"


def test_a_slice_that_is_too_large_is_refused(insuranceqa):
    settings = corpus("insuranceqa", slice={"train": 91, "test": 20, "validation": 20})
    with pytest.raises(AscentError, match="`slice.train` is 91, but there are 90 questions"):
        normalised("insurance", settings, insuranceqa[0])


def test_a_broken_part_is_named(insuranceqa):
    folder = insuranceqa[0]
    path = folder / "valid.json.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AscentError, match="valid.json.gz: not a complete JSON file"):
        normalised("insurance", corpus("insuranceqa"), folder)
    path.unlink()
    with pytest.raises(AscentError, match="valid.json.gz: no such file"):
        normalised("insurance", corpus("insuranceqa"), folder)
