"""Augmentations: what becomes of texts, and that it depends on a row's texts and the seed only."""

import difflib
from importlib import import_module
from itertools import pairwise
from random import Random

import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.pairs.augmenting import augment
from ascent.pairs.table import Pair, pair_frame
from ascent.pairs.text import text_id
from ascent.pairs.words import parts
from ascent.settings.augmentations import OneAugmentation
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

ENGLISH = "“What does term life insurance pay, when its holder (or an heir) outlives the term?”"
CHINESE = "定期人寿保险在投保人活过保险期限之后，还会支付什么样的赔偿金吗？"
NAMES = ("crop", "word_deletion", "word_swap", "character_noise")


def altered(name, text, seed=0, **given):
    """The parts of a text, and what an augmentation makes of them."""
    settings = check(OneAugmentation, {name: given}, "augment").settings
    (before,) = parts(pl.Series([text]))
    after = import_module(f"ascent.pairs.augmentations.{name}").alter(list(before), settings, Random(seed))
    return before, after


def frame(count=200):
    rows = [
        Pair(
            f"{ENGLISH} {number}", f"{CHINESE}{number}", negatives=(f"n{number}",), label=number / 10, scores=(1.0, 0.5)
        )
        for number in range(count)
    ]
    return pair_frame(rows, "insurance", "eng-Latn")


def augmented(pairs, *augmentations):
    return augment(pairs, check(Dataset, {"corpus": "c", "augment": [*augmentations]}, "data set").augment)


# ------------------------------------------------------------------ each one


@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize(
    "text", ["“a, b c. d e f; g h i (j) k l m n; o p q r s t!”", "甲乙，丙丁戊己庚辛；壬癸子丑寅（卯）辰巳午未申酉。"]
)
def test_crop_joins_pieces_in_order(text, pieces):
    seen = set()
    for seed in range(60):
        before, after = altered("crop", text, seed, keep=[0.3, 0.6], pieces=pieces)
        places = [before.index(word) for word in after[::2]]  # each word is there once
        assert 6 <= len(places) <= 12 and places == sorted(places)
        assert after[1::2] == [before[place + 1] for place in places]
        assert sum(following - place > 2 for place, following in pairwise(places)) < pieces
        seen.add(tuple(places))
    assert len(seen) > 30 and (
        pieces == 1 or any(following - place > 2 for each in seen for place, following in pairwise(each))
    )
    assert altered("crop", text, keep=[1.0, 1.0], pieces=pieces)[1] == before[1:]
    assert len(altered("crop", "one two", keep=[0.0, 0.0], pieces=pieces)[1]) == 2


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_deletion_leaves_out_a_share_of_the_words(text):
    left_out = []
    for seed in range(300):
        before, after = altered("word_deletion", text, seed, share=0.2)
        kept, words = after[1::2], iter(before[1::2])
        assert kept and all(word in words for word in kept)  # in order
        assert after[0] == before[0]
        left_out.append(1 - len(kept) / (len(before) // 2))
    assert 0.17 < sum(left_out) / len(left_out) < 0.23
    assert all(len(altered("word_deletion", text, seed, share=1.0)[1]) == 3 for seed in range(9))
    before, after = altered("word_deletion", text, share=0.0)
    assert after == before


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_swap_exchanges_words_and_leaves_punctuation(text):
    for seed in range(60):
        before, after = altered("word_swap", text, seed, share=0.05)
        assert after[::2] == before[::2] and sorted(after[1::2]) == sorted(before[1::2])
        assert sum(one != other for one, other in zip(before, after, strict=True)) <= 2 * max(
            1, round(len(before) // 2 * 0.05)
        )
    assert any(altered("word_swap", text, seed, share=1.0)[1] != before for seed in range(3))
    assert altered("word_swap", "one!")[1] == ["", "one", "!"]
    assert altered("word_swap", "one, two")[1] == ["", "two", ", ", "one", ""]


def test_noise_changes_a_share_of_the_characters_of_words():
    before = "".join(altered("character_noise", ENGLISH)[0])
    errors = 0
    for seed in range(100):
        split, after = altered("character_noise", ENGLISH, seed, share=0.1)
        assert after[::2] == split[::2]
        blocks = difflib.SequenceMatcher(None, before, "".join(after), autojunk=False).get_matching_blocks()
        errors += len(before) - sum(block.size for block in blocks) + max(0, len("".join(after)) - len(before))
    assert 0.05 < errors / 100 / sum(map(len, split[1::2])) < 0.2
    assert altered("character_noise", ENGLISH, share=0.0)[1] == split
    assert altered("character_noise", "ab", 1, share=1.0)[1] in [
        ["", word, ""] for word in ("", "a", "b", "ba", "aabb", "aab", "bb", "aa")
    ]


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_added_behind_what_they_are_made_of(name):
    pairs = frame(30)
    both, (audit,) = augmented(pairs, {name: {"side": "both"}})
    assert audit["augmentation"] == name and audit["in"] == 30 and audit["replaced"] == 0
    assert len(both) == 30 + audit["added"] and 20 <= audit["added"] <= 30 and len(audit["examples"]) == 5
    assert both.columns == pairs.columns
    assert (
        both.filter(pl.col("query_id").is_in(pairs["query_id"].implode()) & pl.col("query").str.starts_with("“")).height
        >= 30
    )
    assert both["label"].is_sorted()
    assert both["query_id"].to_list() == [text_id(text) for text in both["query"]]
    assert both["positive_id"].to_list() == [text_id(text) for text in both["positive"]]
    made = both.join(pairs, on=["query", "positive"], how="anti")
    assert len(made) == audit["added"]
    same = [column for column in pairs.columns if column not in ("query", "positive", "query_id", "positive_id")]
    assert made.select(same).equals(pairs.filter(pl.col("label").is_in(made["label"].implode())).select(same))


def test_one_side_is_altered_and_rows_may_be_replaced():
    pairs = frame()
    only, (audit,) = augmented(pairs, {"word_swap": {"side": "positive", "replace": True, "rows": 0.25, "share": 1.0}})
    assert only["query"].equals(pairs["query"]) and len(only) == len(pairs)
    assert (only["positive"] != pairs["positive"]).sum() == audit["replaced"] and audit["added"] == 0
    assert 30 <= audit["replaced"] <= 70


def test_parts_and_order_change_nothing():
    pairs = frame()
    listed = [
        {"word_deletion": {"rows": 0.5, "side": "both", "replace": True}},
        {"crop": {"rows": 0.3}},
        "character_noise",
    ]
    whole, audit = augmented(pairs, *listed)
    batches = [augmented(batch, *listed) for batch in (pairs[:7], pairs[7:130], pairs[130:131], pairs[131:])]
    assert pl.concat([batch for batch, _ in batches]).equals(whole)
    for place, entry in enumerate(audit):
        for key in ("in", "added", "replaced"):
            assert entry[key] == sum(of_batch[place][key] for _, of_batch in batches)
    backwards, _ = augmented(pairs.reverse(), *listed)
    assert sorted(backwards.select("query", "positive").iter_rows()) == sorted(
        whole.select("query", "positive").iter_rows()
    )


def test_the_seed_chooses_rows_and_errors():
    pairs = frame()
    first, other = (augmented(pairs, {"crop": {"rows": 0.2, "seed": seed}})[0] for seed in (1, 2))
    assert not first.equals(other) and first.equals(augmented(pairs, {"crop": {"rows": 0.2, "seed": 1}})[0])
    chosen = [set(each.join(pairs, on="query_id", how="anti")["label"]) for each in (first, other)]
    assert 1 <= len(chosen[0] & chosen[1]) < min(map(len, chosen))


def test_an_added_row_is_altered_by_no_other():
    pairs = frame(20)
    each = [augmented(pairs, name)[0] for name in ("word_deletion", "crop")]
    together = augmented(pairs, "word_deletion", "crop")[0]
    assert set(together["query"]) == {query for one in each for query in one["query"]}


def test_what_has_no_words_stays():
    pairs = pair_frame([Pair("???", "!!!"), Pair("one", "two")], "c", "eng-Latn")
    for name in NAMES[:3]:
        kept, (audit,) = augmented(pairs, {name: {"side": "both"}})
        assert kept.equals(pairs) and audit["added"] == 0
    gone, (audit,) = augmented(pairs, {"character_noise": {"share": 1.0, "replace": True, "seed": 3}})
    assert (gone["query"].str.len_bytes() > 0).all()
    assert augmented(pairs.clear(), "crop")[0].equals(pairs.clear())


# ------------------------------------------------------------------ in a data set


def test_a_data_set_is_augmented_after_its_filters():
    filters = ["empty", {"score": {"teacher": {"model": "m"}, "min": 0.5}}]
    dataset = check(
        Dataset, {"corpus": "insurance", "filters": filters, "augment": [{"crop": {"seed": 4}}]}, "data set"
    )
    rows = frame(10)

    def scores(pairs):
        chosen = pl.col("query_id").is_in(rows["query_id"][::2].implode())
        return pairs.select("query_id", "positive_id", score=chosen.cast(pl.Float64))

    made, audit = filtered("faq", dataset, [rows], scores=scores)
    assert audit["kept"] == 5 and audit["in"] == 10
    assert audit["augmentations"][0]["added"] == len(made) - 5 > 0
    of_parts, same = filtered("faq", dataset, [rows[:3], rows[3:]], scores=scores)
    assert of_parts.equals(made) and same["augmentations"] == audit["augmentations"]


def test_wrong_settings():
    with pytest.raises(
        AscentError, match="an item of the list is one augmentation, and this one names crop, word_swap"
    ):
        check(Dataset, {"corpus": "c", "augment": [{"crop": {}, "word_swap": {}}]}, "data set")
    with pytest.raises(AscentError, match=r"keep \[0.5, 0.1\] is empty; write the lower share first"):
        check(Dataset, {"corpus": "c", "augment": [{"crop": {"keep": [0.5, 0.1]}}]}, "data set")
