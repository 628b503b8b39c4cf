"""The filter near_duplicate, against similarities that are counted shingle by shingle."""

import unicodedata
from itertools import pairwise
from random import Random

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.pairs import minhash
from ascent.pairs.draws import number
from ascent.pairs.filters import Context, near_duplicate
from ascent.pairs.minhash import band_rows, signatures
from ascent.pairs.signing import sign_pairs
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.filters import NearDuplicate
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

LONG = "What does a term life insurance policy pay when its holder outlives the term that was agreed upon?"
ANSWER = "It pays nothing, since term insurance covers a death within the term only; some policies return the premiums."


def shingles(text: str, size: int = 5) -> set[str]:
    letters = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if unicodedata.category(c)[0] in "LMN")
    return {letters[place : place + size] for place in range(max(1, len(letters) - size + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def draw(query: str, positive: str) -> int:
    """What orders rows: each is compared with those before it."""
    return number(0, text_id(query), text_id(positive))


def kept(rows, parts=1, **settings):
    """The rows that the filter keeps of these pairs, and the counts of what it drops."""
    frame = pair_frame(rows, "corpus", "eng-Latn")
    bounds = [len(frame) * number // parts for number in range(parts + 1)]
    dataset = check(Dataset, {"corpus": "corpus", "filters": [{"near_duplicate": settings}]}, "recipe.yaml")
    pairs, audit = filtered("set", dataset, [frame[begin:end] for begin, end in pairwise(bounds)])
    return pairs, audit["dropped"]


def altered(text: str, words: int, random: Random) -> str:
    """The text with so many words replaced."""
    parts = text.split()
    for place in random.sample(range(len(parts)), min(words, len(parts))):
        parts[place] = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=len(parts[place]) + 1))
    return " ".join(parts)


@pytest.fixture(scope="module")
def planted(corpus_rows):
    """Pairs with altered copies, more and more so, all shuffled; and of each the highest similarity to a row before it
    in the order of their draws: the lower one of its two sides'."""
    random = Random(3)
    rows = [(row["query"] + " " + row["positive"][:500], row["positive"]) for row in corpus_rows[:120]]
    for query, positive in rows[:80]:
        rows += [(altered(query, random.randrange(1, 4), random), altered(positive, random.randrange(5), random))]
    random.shuffle(rows)
    sides = [[shingles(text) for text in row] for row in rows]
    draws = [draw(*row) for row in rows]
    highest = [
        max((min(map(jaccard, row, sides[o])) for o in range(len(rows)) if draws[o] < draws[place]), default=0)
        for place, row in enumerate(sides)
    ]
    return [Pair(*row) for row in rows], np.array(highest)


@pytest.mark.slow
def test_rows_that_are_nearly_another_one_are_dropped(planted):
    rows, highest = planted
    pairs, dropped = kept(rows, similarity=0.8, permutations=256)
    left = set(pairs.select("query", "positive").iter_rows())
    is_kept = np.array([(row.query, row.positive) in left for row in rows])
    assert is_kept[highest < 0.7].all() and not is_kept[highest > 0.9].any()
    assert (highest < 0.7).sum() > 100 and (highest > 0.9).sum() > 5
    # In between, the estimate errs by a standard error of sqrt(.8 * .2 / 256) = .025.
    assert (is_kept == (highest < 0.8)).mean() > 0.95
    assert dropped == {"nearly the same as another row": len(rows) - len(pairs)}


@pytest.mark.slow
@pytest.mark.parametrize("parts", [3, 8])
def test_neither_parts_nor_batches_nor_the_order_of_rows_change_what_is_kept(planted, parts, monkeypatch):
    rows, _ = planted
    one, _ = kept(rows)
    turned, _ = kept(rows[::-1], parts=parts)
    assert turned[::-1].equals(one)
    monkeypatch.setattr("ascent.pairs.parquet.BATCH", 7)
    monkeypatch.setattr(minhash, "_CHARACTERS", 3_000)
    several, _ = kept(rows, parts=parts)
    assert several.equals(one) and len(one) < len(rows)


def test_a_row_is_similar_if_both_its_texts_are():
    other = "Which documents does an insurer want to see before it pays for a car that was stolen abroad?"
    rows = [
        Pair(LONG, ANSWER),
        Pair(LONG.upper() + "!", ANSWER.replace(";", ",")),
        Pair(other, ANSWER),
        Pair(LONG, other),
        Pair(LONG, ANSWER, query_prompt="find"),
        Pair("?", ANSWER),
        Pair("!", ANSWER),
    ]

    def left(*alike: int) -> list[tuple]:
        """All rows, but of those that are alike only the first drawn."""
        first = min(alike, key=lambda place: draw(rows[place].query, rows[place].positive))
        return [
            (row.query, row.positive, row.query_prompt)
            for place, row in enumerate(rows)
            if place == first or place not in alike
        ]

    for settings, alike in (({}, (0, 1)), ({"side": "query"}, (0, 1, 3)), ({"side": "positive"}, (0, 1, 2, 5, 6))):
        assert kept(rows, **settings)[0].select("query", "positive", "query_prompt").rows() == left(*alike)


def test_scripts_without_spaces_are_compared_by_shorter_runs():
    text = "定期人寿保险在投保人活过保险期限之后还会支付什么样的赔偿金，请说明理由和相关条款"
    rows = [Pair(text, text + "吗"), Pair(text + "？", text + "吗！"), Pair(text[:20], text[20:])]
    first = min(rows[:2], key=lambda row: draw(row.query, row.positive))
    assert kept(rows)[0]["query"].to_list() == [first.query, text[:20]]


def test_what_very_many_rows_share_is_compared_a_few_times(tmp_path, monkeypatch):
    compared = []

    def seen(database, tables):
        compared.extend(database.sql("FROM candidates").fetchall())
        return ()

    monkeypatch.setattr(near_duplicate, "_candidates", seen)
    settings = NearDuplicate(permutations=64)
    write_pairs(tmp_path / "pairs.parquet", pair_frame([Pair(LONG, ANSWER)] * 500, "corpus", "eng-Latn"))
    sign_pairs(settings.measure("retrieval"), tmp_path / "pairs.parquet", tmp_path / "signed.parquet")
    context = Context(positive="given", against=pl.DataFrame(), measured=[tmp_path / "signed.parquet"])
    near_duplicate.find(tmp_path / "pairs.parquet", [tmp_path / "pairs.parquet"], settings, context)
    before = {row: {other for own, other in compared if own == row} for row in (1, 4, 499)}
    assert before == {1: {0}, 4: {0, 1, 2, 3}, 499: {0, *range(491, 499)}}


def test_signatures_of_other_rows_are_refused(tmp_path):
    settings = NearDuplicate()
    for name, rows in {"pairs": 2, "fewer": 1}.items():
        write_pairs(tmp_path / f"{name}.parquet", pair_frame([Pair(LONG, ANSWER)] * rows, "corpus", "eng-Latn"))
    sign_pairs(settings.measure("retrieval"), tmp_path / "fewer.parquet", tmp_path / "signed.parquet")
    context = Context(positive="given", against=pl.DataFrame(), measured=[tmp_path / "signed.parquet"])
    with pytest.raises(AscentError, match="is of 2 rows, but there are 1 signatures; sign the pairs again"):
        near_duplicate.find(tmp_path / "pairs.parquet", [tmp_path / "pairs.parquet"], settings, context)


def test_signatures_estimate_the_similarity(corpus_rows):
    texts = [row["positive"] for row in corpus_rows[:40]]
    texts += [altered(text, 5, Random(1)) for text in texts]
    places, matrix = signatures(pl.Series([*texts, "...", ""]), 512)
    assert places.tolist() == list(range(80))
    for one in range(40):
        estimate = (matrix[one] == matrix[one + 40]).mean()
        assert estimate == pytest.approx(jaccard(shingles(texts[one]), shingles(texts[one + 40])), abs=0.1)


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("texts", [1, 2])
def test_bands_find_rows_that_are_just_similar_enough(similarity, texts):
    rows = band_rows(similarity, 128, texts)

    def chance(rows):
        return 1 - (1 - similarity ** (rows * texts)) ** (128 // rows)

    assert chance(rows) >= 0.99 > max((chance(more) for more in range(rows + 1, 129)), default=0)
