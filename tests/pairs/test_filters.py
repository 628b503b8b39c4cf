from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.pairs.filtering import check_audit
from ascent.pairs.table import SCHEMA, Pair, pair_frame
from ascent.pairs.text import clean_text, text_id
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

SCRIPTS = Path(__file__).parents[2] / "scripts"
HTML = {"clean": {"html": True}}
SCORE = {"score": {"teacher": {"model": "minilm"}, "min": 0.4}}
DEFAULT = (HTML, "empty", "length", "duplicate")


def frame(*pairs, corpus="insurance"):
    return pair_frame(pairs, corpus, "eng-Latn")


def prepared(*pairs, against=(), filters=DEFAULT, scores=None, **settings):
    tested = [frame(*against, corpus="tested")] if against else []
    settings = check(Dataset, {"corpus": "insurance", "filters": [*filters], **settings}, "recipe.yaml")
    return filtered("faq", settings, [frame(*pairs)], tested, scores)


def dropped(audit):
    return {step["filter"]: step["dropped"] for step in audit["filters"] if step["dropped"]}


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<p>Tom &amp; Jerry<br/>run</p>", "Tom & Jerry run"),
        ("a&nbsp;b\u00a0c\td\r\n e", "a b c d e"),
        ("e\u0301", "é"),
        ("&#8217;&#x2019;&quot;", '’’"'),
        ('<a href="x?a=1&b=2">link</a> <IMG SRC=x>', "link"),
        ("before <!-- hidden\n --> after", "before after"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("vector<int> x; <your name>", "vector<int> x; <your name>"),
        ("?a=1&lt=2&copy=3 AT&T R&D;", "?a=1&lt=2&copy=3 AT&T R&D;"),
        ("&lt;b&gt; is bold", "<b> is bold"),
    ],
)
def test_clean(raw, clean):
    assert clean_text(raw) == clean


def test_cleaned_rows_are_counted_and_have_the_ids_of_what_they_are():
    pairs, audit = prepared(Pair("<b>a</b>", "b &amp; c", ("d&nbsp;e", "<br>")), Pair("x", "y", ("z",)))
    assert list(pairs.select("query", "positive", "query_id", "positive_id").iter_rows()) == [
        ("a", "b & c", text_id("a"), text_id("b & c")),
        ("x", "y", text_id("x"), text_id("y")),
    ]
    assert pairs["negatives"].to_list() == [["d e"], ["z"]]
    clean = next(step for step in audit["filters"] if step["filter"] == "clean")
    assert clean["changed"] == 1
    assert clean["examples"] == {"changed": [{"query": "<b>a</b>", "positive": "b &amp; c"}]}


def test_a_negative_that_is_removed_takes_its_score_along():
    rows = [
        Pair("a", "b", ("c", "<br>", "d"), scores=(4, 3, 2, 1)),
        Pair("e", "f", ("&nbsp;",), scores=(6, 5)),
        Pair("g", "h"),
    ]
    pairs, _ = prepared(*rows)
    assert pairs["negatives"].to_list() == [["c", "d"], [], []]
    assert pairs["scores"].to_list() == [[4, 3, 1], [6], None]
    itself, _ = prepared(*rows, positive="query")
    assert itself["scores"].to_list() == [None] * 3


def test_texts_about_code_keep_their_tags_unless_the_data_set_says_html():
    texts = (
        "What is the difference between <b> and <i>?",
        "if a <b and c> d then",
        "List<a> vs Vec<i>",
        "AT&amp;T <div>",
    )
    pairs, _ = prepared(
        *(Pair(text, "p  q", (text,)) for text in texts), filters=["clean", "empty", "length", "duplicate"]
    )
    assert tuple(pairs["query"]) == texts and pairs["negatives"].to_list() == [[text] for text in texts]
    assert set(pairs["positive"]) == {"p q"}


def test_a_change_of_a_negative_alone_is_counted():
    audit = prepared(Pair("a", "b", ("d", "<i>e</i>")))[1]
    assert audit["filters"][1]["changed"] == 1


def test_rows_of_other_splits_and_tasks_are_left_out():
    pairs, audit = prepared(Pair("a", "b"), Pair("c", "d", split="test"), Pair("e", "f", task="sts", label=1.0))
    assert pairs["query"].to_list() == ["a"] and pairs["dataset"].to_list() == ["faq"]
    assert dropped(audit) == {"select": {"split is test, not train": 1, "task is sts, not retrieval": 1}}


def test_the_first_rows_are_those_of_the_split():
    rows = [Pair("a", "b", split="test"), Pair("c", "d"), Pair("e", "f"), Pair("g", "h")]
    pairs, audit = prepared(*rows, rows=2)
    assert pairs["query"].to_list() == ["c", "e"]
    assert dropped(audit) == {"select": {"behind the first 2 rows": 1, "split is test, not train": 1}}


def test_what_is_empty_after_cleaning_is_dropped():
    audit = prepared(Pair("a", "b"), Pair("<br>", "b"), Pair("c", "&nbsp;"))[1]
    assert dropped(audit) == {"empty": {"empty positive": 1, "empty query": 1}}
    assert audit["filters"][2]["examples"]["empty query"] == [{"query": "", "positive": "b"}]


def test_length_is_in_characters_with_its_bounds_kept():
    rows = [Pair("é" * n, "p" * m) for n, m in [(1, 5), (2, 5), (4, 5), (5, 5), (3, 2), (3, 3), (3, 9), (3, 10)]]
    pairs, audit = prepared(*rows, filters=[{"length": {"query": [2, 4], "positive": [3, 9]}}])
    assert [(len(q), len(p)) for q, p in pairs.select("query", "positive").iter_rows()] == [
        (2, 5),
        (4, 5),
        (3, 3),
        (3, 9),
    ]
    assert dropped(audit)["length"] == {
        "positive longer than 9 characters": 1,
        "positive shorter than 3 characters": 1,
        "query longer than 4 characters": 1,
        "query shorter than 2 characters": 1,
    }


def test_a_pair_with_another_prompt_is_another_pair():
    rows = [Pair("who", "you", query_prompt=prompt) for prompt in (None, "find", "find", "look")]
    pairs, audit = prepared(*rows)
    assert pairs["query_prompt"].to_list() == [None, "find", "look"]
    assert dropped(audit) == {"duplicate": {"the pair occurred before": 1}}
    own, _ = prepared(*rows[:2], positive="query")
    assert own["document_prompt"].to_list() == [None, "find"]


def test_duplicates_are_found_after_cleaning_and_the_first_is_kept():
    pairs, audit = prepared(Pair("a", "b", ("1",)), Pair("a", "c"), Pair("<p>a</p>", "b  ", ("2",)), Pair("d", "d"))
    assert list(pairs.select("query", "positive").iter_rows()) == [("a", "b"), ("a", "c")]
    assert pairs["negatives"].to_list() == [["1"], []]
    assert dropped(audit) == {"duplicate": {"the pair occurred before": 1, "the positive repeats the query": 1}}


def test_contamination_is_found_whatever_the_case_and_punctuation():
    against = [
        Pair("What is Term-Life?", "x", split="test"),
        Pair("What is whole life?", "x", split="validation"),
        Pair("What is a claim?", "x", split="train"),
        Pair("storm", "gale", task="sts", split="test"),
    ]
    rows = ["what is term life", "WHAT IS WHOLE LIFE", "What is a claim?", "What is a car?", "Gale!"]
    pairs, audit = prepared(
        *(Pair(row, "p") for row in rows),
        Pair("q", "what is TERM LIFE?"),
        Pair("q", "p", negatives=("n", "what is whole-life")),
        against=against,
        filters=[{"contamination": {"against": ["tested"]}}],
    )
    assert pairs["query"].to_list() == ["What is a claim?", "What is a car?"]
    assert dropped(audit) == {
        "contamination": {
            "a negative is a validation query": 1,
            "the positive is a test query": 1,
            "the query is a test query": 2,
            "the query is a validation query": 1,
        }
    }


NAMED = [("a", "tested"), ("a", "other"), ("z", "other")]


def test_corpora_that_are_not_named_do_not_count():
    tested, other, another = (frame(Pair(text, "x", split="test"), corpus=name) for text, name in NAMED)
    settings = check(
        Dataset, {"corpus": "insurance", "filters": [{"contamination": {"against": ["other"]}}]}, "recipe.yaml"
    )
    assert len(filtered("faq", settings, [frame(Pair("b", "c"))], [other])[0]) == 1
    with pytest.raises(AscentError, match="no pair is left after filter 'contamination'"):
        filtered("faq", settings, [frame(Pair("a", "b"))], [tested, other])
    assert len(filtered("faq", settings, [frame(Pair("a", "b"))], [tested, another])[0]) == 1


def test_a_corpus_that_is_named_must_be_given():
    with pytest.raises(
        AscentError,
        match="data set faq: the test rows of 'tested' are missing; name corpora in `against` that have some",
    ):
        prepared(Pair("a", "b"), filters=[{"contamination": {"against": ["tested"]}}])


def test_filters_run_in_the_order_of_the_list():
    rows = [Pair("<b>a</b>", "long enough"), Pair("bb", "long enough")]
    short = {"length": {"query": [1, 2]}}
    assert dropped(prepared(*rows, filters=[short, HTML])[1]) == {"length": {"query longer than 2 characters": 1}}
    assert dropped(prepared(*rows, filters=[HTML, short])[1]) == {}
    pairs, audit = prepared(*rows, filters=[])
    assert len(pairs) == 2 and [step["filter"] for step in audit["filters"]] == ["select"]


def test_a_filter_may_come_twice_and_each_has_its_count():
    rows = [Pair(f"<b>{'a' * n}</b>", "p") for n in (1, 5, 9)]
    filters = [{"length": {"query": [1, 15]}}, HTML, {"length": {"query": [3, 9]}}]
    pairs, audit = prepared(*rows, filters=filters)
    assert pairs["query"].to_list() == ["aaaaa"]
    assert [(step["filter"], step["in"], step["kept"]) for step in audit["filters"]] == [
        ("select", 3, 3),
        ("length", 3, 2),
        ("clean", 2, 2),
        ("length 2", 2, 1),
    ]
    assert dropped(audit) == {
        "length": {"query longer than 15 characters": 1},
        "length 2": {"query shorter than 3 characters": 1},
    }
    check_audit(audit, 1)


def test_the_default_is_the_order_that_data_sets_always_had():
    dataset = Dataset(corpus="insurance")
    assert [each.settings.component() for each in dataset.filters] == ["clean", "empty", "length", "duplicate"]
    assert dataset.teachers == [] and names_of(dataset.passes) == [["clean", "empty", "length"], ["duplicate"]]
    filters = ["clean", "duplicate", "empty", SCORE, "clean", SCORE, "duplicate", "empty"]
    scored = check(Dataset, {"corpus": "insurance", "filters": filters}, "x")
    assert [teacher.model for teacher in scored.teachers] == ["minilm"]
    assert names_of(scored.passes) == [
        ["clean"],
        ["duplicate", "empty"],
        ["score", "clean", "score"],
        ["duplicate", "empty"],
    ]
    again = check(Dataset, {"corpus": "insurance", "filters": [SCORE, "near_duplicate", "near_duplicate", SCORE]}, "x")
    other = {"rank": {"teacher": {"model": "other"}}}
    two = check(Dataset, {"corpus": "insurance", "filters": [SCORE, other, "empty", other, SCORE]}, "x")
    assert names_of(two.passes) == [[], ["score"], ["rank", "empty", "rank"], ["score"]]
    assert [teacher.model for teacher in two.teachers] == ["minilm", "other", "minilm"]
    assert names_of(again.passes) == [[], ["score"], ["near_duplicate"], ["near_duplicate"], ["score"]]


def names_of(passes):
    return [[each.settings.component() for each in filters] for filters in passes]


def test_an_empty_result_is_an_error():
    message = r"data set faq: no pair is left after filter 'length' \(1 x query shorter than 9 characters\); loosen"
    with pytest.raises(AscentError, match=message):
        prepared(Pair("a", "b"), filters=[{"length": {"query": [9, 10]}}])
    with pytest.raises(
        AscentError, match="data set faq: its corpus has no pair of its split and task type \\(1 x task is "
    ):
        prepared(Pair("a", "b"), task="sts")


def test_at_most_five_short_examples_are_kept():
    audit = prepared(
        Pair("a", "b"), *(Pair("x" * 300 + str(i), "p") for i in range(9)), filters=[{"length": {"query": [1, 10]}}]
    )[1]
    examples = audit["filters"][1]["examples"]["query longer than 10 characters"]
    assert len(examples) == 5 and examples[0] == {"query": "x" * 199 + "…", "positive": "p"}


# ------------------------------------------------------------------ the teacher's scores


def scores(*values):
    return lambda pairs: pairs.select("query_id", "positive_id").with_columns(score=pl.Series(values, dtype=pl.Float64))


def test_pairs_below_the_threshold_are_dropped_and_all_are_counted():
    rows = [Pair("a", "1"), Pair("b", "2"), Pair("c", "3"), Pair("c", "3"), Pair("d", "4", split="test")]
    kept, audit = prepared(*rows, filters=[*DEFAULT, SCORE], scores=scores(0.4, 0.39, 0.9))
    assert kept["query"].to_list() == ["a", "c"] and kept.columns == SCHEMA.names
    assert audit["in"] == 5 and audit["kept"] == 2
    assert audit["dropped"] == {
        "split is test, not train": 1,
        "the pair occurred before": 1,
        "score below 0.4": 1,
    }
    assert audit["filters"][-1]["score_quantiles"] == {
        "0.0": 0.39,
        "0.25": 0.4,
        "0.5": 0.4,
        "0.75": 0.9,
        "1.0": 0.9,
    }
    total = sum((Counter(step["dropped"]) for step in audit["filters"]), Counter())
    assert audit["in"] == audit["kept"] + total.total()
    assert audit["kind"] == "pairs"


def test_filters_behind_the_score_run_after_it():
    rows = [Pair("<b>a</b>", "1"), Pair("b", "2"), Pair("c", "3")]
    filters = ["empty", SCORE, HTML, {"contamination": {"against": ["tested"]}}, SCORE]
    against = [Pair("C!", "x", split="test")]
    kept, audit = prepared(*rows, filters=filters, scores=scores(0.4, 0.39, 0.9), against=against)
    assert kept["query"].to_list() == ["a"]
    assert [step["filter"] for step in audit["filters"]] == [
        "select",
        "empty",
        "score",
        "clean",
        "contamination",
        "score 2",
    ]
    assert dropped(audit) == {"score": {"score below 0.4": 1}, "contamination": {"the query is a test query": 1}}
    assert "score_quantiles" in audit["filters"][2] and "score_quantiles" not in audit["filters"][5]
    with pytest.raises(AscentError, match="the test rows of 'tested' are missing"):
        prepared(*rows, filters=filters, scores=scores(0.4, 0.39, 0.9))


@pytest.mark.parametrize("wrong", [float("nan"), None])
def test_a_nan_or_missing_score_is_an_error(wrong):
    rows = [Pair("a", "1"), Pair("b", "2")]
    with pytest.raises(AscentError, match="data set faq: 1 pairs have no score or NaN, .*first 'b'; run the step that"):
        prepared(*rows, filters=[SCORE], scores=scores(0.5, wrong))
    for wrong_rows in (lambda pairs: scores(0.5, 0.5)(pairs).clear(), lambda pairs: scores(0.5, 0.5)(pairs).reverse()):
        with pytest.raises(AscentError, match="2 pairs have no score or NaN, or that of others, first 'a'"):
            prepared(*rows, filters=[SCORE], scores=wrong_rows)


def test_an_audit_that_loses_a_row_is_refused():
    _, audit = prepared(Pair("a", "1"), Pair("b", "2"))
    check_audit(audit, 2)
    with pytest.raises(AscentError, match="the audit of filter 'duplicate' does not add up"):
        check_audit(audit, 1)


@pytest.mark.slow
def test_more_rows_than_a_batch_are_numbered_throughout(monkeypatch):
    monkeypatch.setattr("ascent.pairs.parquet.BATCH", 7)
    rows = [Pair(f"query {number % 40}", "p", query_prompt=None if number % 2 else "find") for number in range(100)]
    pairs, audit = prepared(*rows, rows=90)
    expected = list(dict.fromkeys((row.query, row.query_prompt) for row in rows[:90]))
    assert list(pairs.select("query", "query_prompt").iter_rows()) == expected
    assert dropped(audit) == {"select": {"behind the first 90 rows": 10}, "duplicate": {"the pair occurred before": 50}}
