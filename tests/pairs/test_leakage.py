import json
import subprocess
import sys
from pathlib import Path

import pytest

from ascent.errors import AscentError
from ascent.pairs.leakage import check_leakage, evaluation_keys, leakage_key
from ascent.pairs.table import Pair, pair_frame, write_pairs

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_leakage.py"


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
    assert list(evaluation_keys(TESTED, "test").values()) == [
        "What is Term-Life?",
        "Storms hit the coast.",
        "A storm hit.",
    ]


def test_what_was_compared_is_counted():
    rows = [("Cover for a time.", ("A lot.", "Nothing.")), ("A lot.", ())]
    training = frame("web", *(Pair("How much is a car?", positive, negatives) for positive, negatives in rows))
    assert check_leakage([training], [TESTED]) == {
        "splits": ["test"],
        "training": {"web": {"pairs": 2, "texts": 4}},
        "evaluation": {"insurance": {"texts": 3}},
        "leaked": 0,
    }


@pytest.mark.parametrize(
    "pair",
    [
        Pair("What is Term-Life?", "x"),
        Pair("what is term life", "x"),
        Pair("x", "What is term life!"),
        Pair("x", "a storm hit"),
        Pair("x", "x", negatives=("x", "what is term life")),
    ],
)
def test_a_leaked_text_is_named(pair):
    training = frame("web", Pair("How much is a car?", "A lot."), pair)
    (leaked,) = {pair.query, pair.positive, *pair.negatives} - {"x"}
    with pytest.raises(AscentError) as error:
        check_leakage([training], [TESTED])
    assert str(error.value).startswith(f"data set web: 1 of its texts are test texts, first '{leaked}' ('")
    assert str(error.value).endswith("of insurance); add insurance to `against` of the data set's filter contamination.")


def test_another_split_can_be_checked():
    training = frame("web", Pair("what is whole life", "x"))
    check_leakage([training], [TESTED])
    with pytest.raises(AscentError, match="1 of its texts .* validation split of insurance"):
        check_leakage([training], [TESTED], splits=["validation"])


def test_the_command_writes_counts_or_fails(tmp_path):
    write_pairs(tmp_path / "tested.parquet", TESTED)
    write_pairs(tmp_path / "clean.parquet", frame("web", Pair("a", "b")))
    write_pairs(tmp_path / "leaked.parquet", frame("dump", Pair("WHAT IS TERM LIFE", "b")))
    (tmp_path / "leakage.yaml").write_text("{splits: [test], training: [web], evaluation: [insurance]}")
    options = {"--settings": "leakage.yaml", "--evaluation": "tested.parquet", "--output": "leakage.json"}
    command = [sys.executable, SCRIPT, *(word for option in options.items() for word in option), "--pairs"]

    run = subprocess.run([*command, "clean.parquet", "leaked.parquet"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("error: data set dump: 1 of its texts")
    assert not (tmp_path / "leakage.json").exists()

    subprocess.run([*command, "clean.parquet"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "leakage.json").read_text())["leaked"] == 0
