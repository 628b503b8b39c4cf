"""The augmentation synonyms, by a database of WordNet's form that is written here by hand."""

from collections import Counter
from random import Random

import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.pairs.augmentations.synonyms import alter
from ascent.pairs.augmenting import augment
from ascent.pairs.table import Pair, pair_frame
from ascent.pairs.wordnet import synonyms
from ascent.pairs.words import parts
from ascent.settings.augmentations import Synonyms
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
# Part of speech, type, words, each with how often this sense of it was counted.
SYNSETS = [
    ("noun", "n", {"car": 71, "auto": 3, "motor_vehicle": 0}),
    ("noun", "n", {"car": 2, "railcar": 0}),
    ("noun", "n", {"a": 9, "vitamin_A": 1}),
    ("noun", "n", {"book": 20}),
    ("verb", "v", {"book": 4, "reserve": 6}),
    ("noun", "n", {"claim": 0, "title": 0}),
    ("verb", "v", {"claim": 1, "take": 0}),
    ("adj", "a", {"big(a)": 30, "large": 40, "sizable(p)": 0}),
    ("adj", "s", {"Roman": 2, "Latin": 0}),  # its head is big(a)
    ("adv", "r", {"quickly": 5, "rapidly": 4, "Speedily": 0}),
    # As frequent as each other: of nouns the sense with the lower number, which here comes later, and no verb.
    ("noun", "n", {"plant": 3, "works": 0}),
    ("noun", "n", {"plant": 3, "flora": 0}),
    ("verb", "v", {"plant": 3, "set": 0}),
]
# Of the word's most frequent sense. That of `book` has no other word, `a` is a function word.
EXPECTED = {
    "auto": ("car", "motor vehicle"),
    "big": ("large", "sizable"),
    "car": ("auto", "motor vehicle"),
    "claim": ("take",),
    "large": ("big", "sizable"),
    "plant": ("flora",),
    "quickly": ("rapidly", "Speedily"),
    "rapidly": ("quickly", "Speedily"),
    "reserve": ("book",),
    "roman": ("Latin",),
}
TEXT = "The CAR, a big car (or auto): “Roman” books quickly claim cars!"


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    folder, numbers = tmp_path_factory.mktemp("wordnet"), {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}
    counts = ["gone%1:06:00:: 1 8"]  # of a sense that is not there any more
    for file in ("noun", "verb", "adj", "adv"):
        data, times, head = LICENCE, Counter(), None
        for _, kind, words in (each for each in SYNSETS if each[0] == file):
            place, cells = f"{len(data):08d}", []
            for word, count in words.items():
                lemma = word.partition("(")[0].lower()
                # Numbers of base 16 here and 10 there: the ids begin at 9.
                id = 9 + times[lemma]
                times[lemma] += 1
                cells += [word, f"{id:x}"]
                if count:
                    at = f"{head[1]}(a):09" if kind == "s" else ":"  # with the head's marker, as in WordNet 3.0
                    counts.append(f"{lemma}%{numbers[kind]}:06:{id:02d}:{at} {9 - times[lemma]} {count}")
                if kind == "a":
                    head = head or (place, lemma)
            pointers = ["@", "00000009", "n", "0000", *(["&", head[0], "a", "0000"] if kind == "s" else [])]
            cells = [place, "06", kind, f"{len(words):02x}", *cells, f"{len(pointers) // 4:03d}", *pointers]
            data += " ".join(cells) + ' | a gloss & its example; "car 0 | big"\n'
        (folder / f"data.{file}").write_text(data + "\n" * (file == "adv"))  # as some copies end
    (folder / "cntlist.rev").write_text("\n".join(sorted(counts)) + "\n")
    return folder


def test_synonyms_are_those_of_a_word_s_most_frequent_sense(wordnet):
    assert synonyms(str(wordnet)) == EXPECTED


def test_counts_may_stand_in_the_index_of_senses(wordnet, tmp_path):
    for file in wordnet.glob("data.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = map(str.split, (wordnet / "cntlist.rev").read_text().splitlines())
    index = [f"{key.replace('(a)', '')} 00001740 {number} {count}\n" for key, number, count in lines]
    (tmp_path / "index.sense").write_text("".join([*index, "claim%1:06:09:: 00001740 8 0\n"]))
    assert synonyms(str(tmp_path)) == EXPECTED


def test_words_are_replaced_where_they_stand_and_keep_their_capitals(wordnet):
    settings = Synonyms(wordnet=str(wordnet), share=1.0)
    (before,) = parts(pl.Series([TEXT]))
    seen = set()
    for seed in range(40):
        after = alter(before, settings, Random(seed))
        assert after[::2] == before[::2] and len(after) == len(before)
        for old, new in zip(before[1::2], after[1::2], strict=True):
            known = EXPECTED.get(old.lower(), [old])
            expected = [word.upper() if old == "CAR" else word for word in known]
            assert new in expected
        seen.add(tuple(after))
    assert len(seen) > 15  # of two words each for CAR, big, car, auto and quickly
    assert alter(before, Synonyms(wordnet=str(wordnet), share=0.0), Random(0)) == before
    changed = sum(
        old != new
        for seed in range(300)
        for old, new in zip(before, alter(before, Synonyms(wordnet=str(wordnet)), Random(seed)), strict=True)
    )
    assert 0.15 < changed / 300 / 7 < 0.25


def test_rows_without_a_word_that_has_synonyms_are_not_added(wordnet):
    rows = [Pair(f"{TEXT} {number}", "p") for number in range(30)] + [Pair("a book", "p")]
    pairs = pair_frame(rows, "c", "eng-Latn")
    item = {"synonyms": {"wordnet": str(wordnet), "share": 1.0}}
    made, (audit,) = augment(pairs, check(Dataset, {"corpus": "c", "augment": [item]}, "data set").augment)
    assert (audit["augmentation"], audit["in"], audit["added"]) == ("synonyms", 31, 30) and len(made) == 61
    halves = [
        augment(half, check(Dataset, {"corpus": "c", "augment": [item]}, "s").augment)[0]
        for half in (pairs[:9], pairs[9:])
    ]
    assert pl.concat(halves).equals(made)


def test_a_folder_that_is_none_is_named(wordnet, tmp_path):
    with pytest.raises(AscentError, match=r"wordnet is '.*no', which does not exist; name a folder of WordNet's data"):
        synonyms(str(tmp_path / "no"))
    for file in wordnet.iterdir():
        with pytest.raises(AscentError, match=r"is '.*', which has no file (data|cntlist.rev or index.sense)"):
            synonyms(str(tmp_path))
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "data.verb").write_text("a line of another form\n")
    with pytest.raises(AscentError, match=r"its files are not those of WordNet's database .*; copy the folder again"):
        synonyms(str(tmp_path))
