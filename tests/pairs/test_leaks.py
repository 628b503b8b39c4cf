"""Which method finds which leak, that it finds what brute force finds, and how often it errs on clean text."""

import random
import re
import unicodedata

import numpy as np
import polars as pl
import pytest

from ascent.pairs.leak_index import LeakIndex
from ascent.pairs.table import Pair, pair_frame
from ascent.pairs.tested import Table, TestedTexts
from ascent.settings.leaks import Hash, NearDuplicate, Ngram
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered
from support.small_recipe import corpus_rows

METHODS = {"hash": Hash(), "ngram": Ngram(), "near_duplicate": NearDuplicate()}
TESTED = {
    "en": (
        "How long does a term life insurance policy keep paying a benefit to the family once the insured person has"
        " died in an accident while travelling abroad?"
    ),
    "zh": "被保险人在境外旅行期间因意外事故去世以后，定期寿险会在多长时间之内继续向家属支付保险金？",
}
PLANTED = {
    "verbatim": (TESTED, "hash ngram near_duplicate"),
    "case and width": (
        {"en": TESTED["en"].upper(), "zh": TESTED["zh"].replace("，", ",")},
        "hash ngram near_duplicate",
    ),
    "punctuation": (
        {"en": f'"{TESTED["en"].replace(" term life", " term-life")}" ...', "zh": f"「{TESTED['zh']}」！"},
        "hash ngram near_duplicate",
    ),
    "within a passage": (
        {
            "en": (
                f"We asked our readers what they would like to know. One wrote: {TESTED['en']} Nobody in the office"
                " knew, so we called three companies, and got three answers, none of which was of any use to the"
                " reader who had asked."
            ),
            "zh": (
                f"上个月我们请读者来信提问。其中一位读者写道：{TESTED['zh']}编辑部里没有人知道答案，"
                "于是我们给三家公司打了电话，得到的三个回答各不相同，对提问的读者都没有什么用处。"
            ),
        },
        "ngram",
    ),
    "a shared run of words": (
        {
            "en": (
                "Our agents often hear a question that starts like this: how long does a term life insurance policy"
                " keep paying a benefit to the family once the insured person has died? They look it up."
            ),
            "zh": (
                "客服常听到这样的问题：被保险人在境外旅行期间因意外事故去世以后，定期寿险会在多长时间之内赔？然后去查。"
            ),
        },
        "ngram",
    ),
    "near duplicate": (
        {
            "en": (
                "How long does a term life insurance policy keep paying the benefit to the family once an insured"
                " person has died in an accident while travelling abroad?"
            ),
            "zh": "被保险人在境外旅行时因意外事故去世以后，定期寿险会在多长时间内继续向家属支付保险金？",
        },
        "near_duplicate",
    ),
    "paraphrase": (
        {
            "en": (
                "If somebody is killed on holiday in another country, for what period do relatives receive money from "
                "temporary cover on their life?"
            ),
            "zh": "一个人出国游玩时不幸遇难，他的亲人能从有期限的人寿保障里领多久的钱？",
        },
        "",
    ),
}


def texts(*rows: str) -> pl.Series:
    return pl.Series("text", rows, pl.String)


def index(method, tested: pl.Series) -> LeakIndex:
    return LeakIndex(method, TestedTexts.of_tables([(Table("task", "test"), tested)]), [0])


@pytest.mark.parametrize("language", TESTED)
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_leak_is_found_by(planted, language):
    by_language, found = PLANTED[planted]
    clean = [row["positive"] for row in corpus_rows()[:50]]
    training = texts(*clean, by_language[language])
    finds = {
        name: index(method, texts(*TESTED.values())).matches(training)["training"].to_list()
        for name, method in METHODS.items()
    }
    assert {name: rows for name, rows in finds.items() if rows} == {name: [50] for name in found.split()}


@pytest.mark.parametrize("language", TESTED)
def test_the_filter_drops_what_the_methods_find(language):
    against = pair_frame([Pair(text, "y", split="test") for text in TESTED.values()], "task", "und")
    rows = [Pair(f"{place}", by_language[language]) for place, (by_language, _) in enumerate(PLANTED.values())]
    filters = [{"contamination": {"against": ["task"], "methods": {"hash": {}, "ngram": {}, "near_duplicate": {}}}}]
    settings = check(Dataset, {"corpus": "web", "filters": filters}, "recipe.yaml")
    kept, audit = filtered("web", settings, [pair_frame(rows, "web", "und")], [against])
    assert audit["filters"][-1]["dropped"] == {
        "the positive is a test query": 3,
        "the positive nearly repeats a test query": 1,
        "the positive shares n-grams with a test query": 2,
    }
    assert kept["positive"].to_list() == [PLANTED["paraphrase"][0][language]]


def test_clean_text_is_rarely_taken_for_a_leak():
    """Documentation of one half of Python's modules against that of the other: at most one text of a hundred, and that
    one is a near duplicate indeed ("Variant of Queue that retrieves ..." and "A subclass of Queue that retrieves
    ...")."""
    rows = corpus_rows(10**6)
    modules = sorted({row["module"] for row in rows})
    halves = [[row for row in rows if (row["module"] in modules[::2]) == half] for half in (True, False)]
    for column, most in (("query", 0), ("positive", 0.002)):
        tested, training = (texts(*(row[column] for row in half)) for half in halves)
        assert len(training) > 300
        for name, method in METHODS.items():
            found = index(method, tested).matches(training)
            allowed = most * len(training) if name == "near_duplicate" else 0
            assert found["training"].n_unique() <= allowed, (column, name, found)


# ---------------------------------------------------------------- brute force


def words(text: str) -> list[str]:
    """The words of a text; characters of Chinese."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+", folded)


def runs(units: list[str] | str, size: int) -> set:
    return {tuple(units[place : place + size]) for place in range(len(units) - size + 1)}


def containment(a: str, b: str, size: int) -> float:
    a, b = runs(words(a), size), runs(words(b), size)
    return len(a & b) / min(len(a), len(b)) if a and b else 0


def jaccard(a: str, b: str) -> float:
    sides = []
    for text in (a, b):
        letters = "".join(words(text))
        size = 2 if sum("\u4e00" <= letter <= "\u9fff" for letter in letters) * 2 > len(letters) else 5
        sides.append(runs(letters, min(size, len(letters))))
    return len(sides[0] & sides[1]) / len(sides[0] | sides[1]) if any(sides) else 0


def edited(text: str, draw: random.Random, share: float) -> str:
    """A text with a share of its words exchanged for others, or characters of Chinese."""
    units = list(text) if " " not in text else text.split()
    for place in draw.sample(range(len(units)), round(share * len(units))):
        units[place] = draw.choice(units)
    return ("" if " " not in text else " ").join(units)


def corpus(draw: random.Random) -> tuple[list[str], list[str]]:
    """Tested texts, and training texts some of which are tested ones with edits of any number."""
    tested = [row["positive"] for row in corpus_rows()[:120]] + [TESTED["zh"][place:] for place in range(0, 20, 4)]
    clean = [row["positive"] for row in corpus_rows()[120:200]]
    return tested, clean + [edited(text, draw, draw.random() * 0.2) for text in tested]


@pytest.mark.parametrize("size", [3, 13])
def test_ngrams_find_what_brute_force_finds(size):
    tested, training = corpus(random.Random(size))
    expected = {
        (row, number): score
        for row, text in enumerate(training)
        for number, other in enumerate(tested)
        if (score := containment(text, other, size)) >= 0.5
    }
    found = {
        (row, number): score
        for row, number, score in index(Ngram(size=size), texts(*tested)).matches(texts(*training)).rows()
    }
    assert found == pytest.approx(expected) and len(found) >= 20


@pytest.mark.slow
def test_near_duplicates_are_those_of_brute_force_but_for_one_in_a_hundred():
    tested, training = corpus(random.Random(1))
    expected = {
        (row, number): score
        for row, text in enumerate(training)
        for number, other in enumerate(tested)
        if (score := jaccard(text, other)) >= 0.8
    }
    found = {
        (row, number): score
        for row, number, score in index(NearDuplicate(), texts(*tested)).matches(texts(*training)).rows()
    }
    assert all(found[pair] == pytest.approx(expected[pair]) for pair in found)  # a pair too many is a KeyError
    assert len(found) >= 0.97 * len(expected) > 40


def test_texts_without_letters_and_of_a_few_words():
    tested = texts("", "?!", "C#", "a", "要")
    training = texts("?!", "C#", "c", "", "A", "要", "...")
    found = {name: index(method, tested).matches(training).rows() for name, method in METHODS.items()}
    assert [row[:2] for row in found["hash"]] == [(0, 1), (1, 2), (3, 0), (4, 3), (5, 4)]
    assert found["ngram"] == []
    assert [row[:2] for row in found["near_duplicate"]] == [(1, 2), (2, 2), (4, 3), (5, 4)]


def test_a_phrase_that_thousands_share_is_looked_up_in_the_first_of_them():
    phrase = "this is the official page of the bureau of weights and measures of the united kingdom"
    tested = texts(*(f"{phrase} number {number}" for number in range(2000)))
    found = index(Ngram(), tested).matches(texts(phrase, "nothing"))
    assert set(found["training"]) == {0} and found["number"].to_list() == list(range(32))


def test_texts_are_found_by_number():
    tables = {"a": texts("x", "y"), "b": texts(), "c": texts("z")}
    tested = TestedTexts.of_tables((Table(name, "test"), rows) for name, rows in tables.items())
    assert tested.of(np.array([2, 0, 1, 2])).to_list() == ["z", "x", "y", "z"]
    assert tested.of(np.array([], dtype=np.int64)).to_list() == []
    assert tested.starts.tolist() == [0, 2, 3]
