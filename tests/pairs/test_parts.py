"""A data set in parts: whatever its filters, it is what it would be in one."""

from itertools import pairwise

import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from ascent.pairs.filters.duplicate import KEYS
from ascent.pairs.table import Pair, pair_frame
from ascent.settings.base import components
from ascent.settings.filters import Filter
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

TEACHER = {"model": "minilm"}
# Each drops a row at least, of those of `rows`, and changes none but for `clean`.
FILTERS = [
    "clean",
    "empty",
    {"length": {"positive": [20, 400]}},
    {"words": {"query": [2, 7]}},
    {"tokens": {"model": "words", "positive": [9, 4000]}},
    "language",
    "symbols",
    {"repetition": {"min_words": 20}},
    "overlap",
    "duplicate",
    "near_duplicate",
    {"cap": {"by": "origin", "rows": 8}},
    {"contamination": {"against": ["tested"]}},
    {"score": {"teacher": TEACHER, "min": 0.1}},
    {"rank": {"teacher": TEACHER, "top": 9}},
    {"perplexity": {"model": "words", "positive": [1.2, 100]}},
]


@pytest.fixture(scope="module")
def rows(corpus_rows) -> pl.DataFrame:
    good = [Pair(row["query"], row["positive"], origin=row["module"]) for row in corpus_rows[:120]]
    more = "It is written here once more, at some length, for whoever reads it."
    planted = [
        Pair("what are spaces for", "They  keep words apart, and this is written with two of them."),
        Pair("what is nothing called", "\u00a0"),
        Pair("what are all these symbols for", "a $$$ 1 ### b %%% 2 @@@ c ^^^ 3 &&& d *** 4 !!! e ((( 5 )))"),
        Pair("how often does it say so", "This is said again and again. " * 20),
        Pair(
            "quelle est la différence entre ces contrats",
            "Le premier contrat couvre la maison et le second couvre seulement la voiture du client.",
        ),
        Pair("what is it then", f"You ask what is it then. {more}"),
        Pair("was this asked in the test", more),
        *good[40:60],
        *(Pair(row.query, f"{row.positive} Indeed.") for row in good[60:80] if len(row.positive) > 300),
    ]
    return pair_frame([*good, *planted, *good[:10]], "insurance", "eng-Latn")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A model's folder with a tokenizer, which counts words."""
    folder = tmp_path_factory.mktemp("models") / "words"
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def measured(pairs: pl.DataFrame) -> pl.DataFrame:
    """Scores, ranks and perplexities by the texts alone."""
    draw = pl.Series([int(id[:6], 16) / 0xFFFFFF for id in pairs["query_id"]], dtype=pl.Float64)
    return pairs.select("query_id", "positive_id").with_columns(
        score=draw, rank=(draw * 10).cast(pl.Int64) + 1, query_perplexity=draw + 1, positive_perplexity=draw + 1
    )


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "limit"), [(3, None), (8, None), (8, 100)])
def test_neither_their_number_nor_the_order_of_rows_changes_what_any_filter_keeps(rows, words, parts, limit):
    tested = pair_frame([Pair("Was this asked in the test?", "yes", split="test")], "tested", "eng-Latn")
    dataset = {"corpus": "insurance", "rows": limit, "filters": FILTERS}
    settings = check(Dataset, dataset, "recipe.yaml")

    def run(pieces):
        return filtered("faq", settings, pieces, [tested], measured, [words])

    one, audit = run([rows])
    bounds = [len(rows) * number // parts for number in range(parts + 1)]
    # A corpus's part may have no row of the data set's split: its files are those of another.
    other = rows[:5].with_columns(split=pl.lit("validation"))
    several, of_parts = run([other, *(rows[begin:end] for begin, end in pairwise(bounds))])
    assert several.equals(one) and len(one) > 20
    assert of_parts["filters"][0]["dropped"].pop("split is validation, not train") == len(other)
    if limit is None:
        turned, _ = run([rows[::-1]])
        assert {*turned.select(KEYS).iter_rows()} == {*one.select(KEYS).iter_rows()} and len(turned) == len(one)
    dropped = {entry["filter"]: entry["dropped"] for entry in audit["filters"]}
    assert {entry["filter"]: entry["dropped"] for entry in of_parts["filters"]} == dropped
    if limit is None:
        assert {name for name, reasons in dropped.items() if reasons} == {*components(Filter)} - {"clean"}


def test_one_may_be_left_with_nothing(words):
    rows = pair_frame([Pair("a", "1"), Pair("b", "2"), Pair("a", "1")], "insurance", "eng-Latn")
    settings = check(Dataset, {"corpus": "insurance", "filters": ["duplicate"]}, "recipe.yaml")
    pairs, audit = filtered("faq", settings, [rows[:2], rows[2:]])
    assert pairs["query"].to_list() == ["a", "b"] and audit["kept"] == 2
