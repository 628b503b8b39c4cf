import pytest

from ascent.pairs.leakage import evaluation_texts, label_texts, leakage_key, texts_of_rows
from ascent.pairs.table import Pair, pair_frame


def frame(name, *pairs):
    return pair_frame(pairs, name, "eng-Latn")


TESTED = frame(
    "insurance",
    Pair("What is Term-Life?", "Cover for a time.", split="test"),
    Pair("What is whole life?", "Cover for life.", split="validation"),
    Pair("What is a claim?", "A request.", split="train"),
    Pair("Storms hit the coast.", "A storm hit.", label=0.9, task="sts", split="test"),
)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("What is term life?", "what is TERM-LIFE"),
        ("Straße", "STRASSE"),
        ("ＡＢＣ 保险？", "abc保险"),
        ("Tom &amp; Jerry <b>here</b>", "tom jerry here"),
        ("cafe\u0301", "CAFÉ"),
        ("one<br>two<br />three <!-- 4 -->", "one two three"),
        ('<p class="x">A <a href="y">link</a>.</p>', "a link"),
        ("## C# or F#?", "c#, or f#"),
        ("50% of 1,000", "50 % of 1000"),
        ("It is so...and so.", "it is so; and so"),
    ],
)
def test_case_punctuation_width_and_markup_are_ignored(text, same):
    assert leakage_key(text) == leakage_key(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a+b", "a b"),
        ("?!", "..."),
        ("की", "का"),
        ("1 < 2", "1 > 2"),
        ("C#", "C"),
        ("what is F#", "what is F"),
        (".NET", "net"),
        ("50%", "50"),
        ("what is 1.5 + 1", "what is 15 + 1"),
        ("1/2", "12"),
        ("#python", "python"),
        ("<b>", "<i>"),
        ("What is <b>?", "What is <i>?"),
        ("What is <b></b>?", "What is <i></i>?"),
        ("What is <div>?", "What is ?"),
        ("List<a>", "List<i>"),
        ("What is &lt;b&gt;?", "What is &lt;i&gt;?"),
    ],
)
def test_what_carries_meaning_is_compared(text, other):
    assert leakage_key(text) != leakage_key(other)


def test_queries_are_tested_and_both_sides_of_sts():
    assert evaluation_texts(TESTED, "test").to_list() == ["What is Term-Life?", "Storms hit the coast.", "A storm hit."]


def test_labels_are_texts_of_the_split():
    labels = {"train": "old", "test": "new"}
    rows = frame("x", *(Pair("a", label, task="classification", split=split) for split, label in labels.items()))
    assert label_texts(rows, "test").to_list() == ["new"]


def test_the_texts_of_a_row_are_queries_positives_and_negatives():
    rows = frame("x", Pair("a", "b", negatives=("c", "d")), Pair("a", "e")).with_row_index("row", offset=5)
    assert texts_of_rows(rows).rows() == [
        (5, "query", "a"),
        (6, "query", "a"),
        (5, "positive", "b"),
        (6, "positive", "e"),
        (5, "negatives", "c"),
        (5, "negatives", "d"),
    ]
