"""Rows set aside are told at once; too many of them, or all of a split, stop the run."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from ascent.errors import AscentError
from ascent.settings.corpora import Reading
from ascent.settings.validation import check
from support.corpora import texts
from support.pairs import normalised

SCRIPT = Path(__file__).parents[2] / "scripts" / "normalise_corpus.py"


def reading(reader: dict, **settings) -> Reading:
    return check(Reading, {"reader": reader, "language": "eng-Latn"} | settings, "the.yaml")


def write(path: Path, good: int, bad: int) -> None:
    rows = [{"query": f"question {i}", "positive": f"answer {i}", "text": f"text {i}"} for i in range(good)]
    rows += [dict.fromkeys(("query", "positive", "text"), "")] * bad
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


SPLITS = {"pairs": {"train": ["train.jsonl"], "validation": ["dev.jsonl"]}, "documents": {"validation": ["pool.jsonl"]}}


@pytest.fixture
def folder(tmp_path):
    for name in ("train", "dev", "pool"):
        write(tmp_path / f"{name}.jsonl", 20, 0)
    return tmp_path


def test_the_share_of_each_part_is_told(folder):
    write(folder / "train.jsonl", 188, 12)
    write(folder / "pool.jsonl", 9, 1)
    assert normalised("faq", reading(SPLITS), folder)[2]["warnings"] == [
        "corpus faq: 12 of 200 rows of train set aside, 6.0% (12 x no query, first at train.jsonl:189).",
        "corpus faq: 1 of 10 rows of validation documents set aside, 10.0% (1 x no document, first at pool.jsonl:10).",
    ]


def test_three_reasons_are_told_and_the_others_counted(folder):
    bad = [("", "a"), ("q", ""), ("q", "None"), ("nan", "a")]
    rows = [{"query": query, "positive": positive} for query, positive in bad]

    def told() -> str:
        good = (folder / "dev.jsonl").read_text() * 10
        (folder / "train.jsonl").write_text(good + "".join(f"{json.dumps(row)}\n" for row in rows))
        return normalised("faq", reading(SPLITS), folder)[2]["warnings"][0]

    assert told().endswith("; 1 more reason).")
    rows.append({"query": "q", "positive": "['a']"})
    assert told().endswith("; 2 more reasons).")


@pytest.mark.parametrize(
    ("file", "part", "reason"),
    [("train", "train", "no query"), ("dev", "validation", "no query"), ("pool", "validation documents", "no d")],
)
def test_a_part_without_a_usable_row_stops_the_run(folder, file, part, reason):
    write(folder / f"{file}.jsonl", 0, 3)
    with pytest.raises(AscentError, match=rf"^corpus faq: no usable row of {part} \(3 x {reason}"):
        normalised("faq", reading(SPLITS), folder)
    write(folder / f"{file}.jsonl", 0, 0)
    message = (
        rf"no usable row of {part} \(1 x the file has no rows, first at {file}.jsonl\); fix the corpus or its `reader`"
    )
    with pytest.raises(AscentError, match=message):
        normalised("faq", reading(SPLITS), folder)


def test_more_than_the_limit_stops_the_run(folder):
    write(folder / "train.jsonl", 88, 12)
    message = (
        r"^corpus faq: 12 of 100 rows of train set aside, 12.0% \(12 x no query, first at train.jsonl:89\), but"
        r" max_rejected is"
    )
    with pytest.raises(
        AscentError, match=message + r" 10.0%; fix the corpus or its `reader`, or raise max_rejected\.$"
    ):
        normalised("faq", reading(SPLITS), folder)
    assert len(normalised("faq", reading(SPLITS, max_rejected=0.12), folder)[0]) == 88 + 20
    write(folder / "train.jsonl", 10, 10)  # of a handful a share says little
    assert len(normalised("faq", reading(SPLITS), folder)[0]) == 10 + 20


def test_an_empty_file_among_others_is_told(folder):
    (folder / "train-2.jsonl").write_text("")
    settings = reading({"pairs": {"train": ["train*.jsonl"]}})
    (warning,) = normalised("faq", settings, folder)[2]["warnings"]
    assert "1 x the file has no rows, first at train-2.jsonl" in warning


@pytest.mark.parametrize("ids", ["1048585", "D1234", "doc_17", "2c1f6f1e-9f1a-4f3e-8f43-0a8f3c0c1d11", "en:7"])
def test_identifiers_in_place_of_texts_are_told(tmp_path, ids):
    rows = [{"query": f"what is question {i}", "positive": ids} for i in range(3)] + [
        {"query": "q", "positive": "a text"}
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = {"pairs": {"train": ["train.jsonl"]}}
    (warning,) = normalised("faq", reading(settings), tmp_path)[2]["warnings"]
    assert warning.startswith(
        f"corpus faq: most positives look like ids (3 of 4, first '{ids}'); name columns with texts"
    )
    assert normalised("faq", reading(settings | {"task": "classification"}), tmp_path)[2]["warnings"] == []


def test_words_and_texts_are_no_identifiers(tmp_path):
    (tmp_path / "train.tsv").write_text("query\tpositive\ncat\tdog\n保险 2\tthe year 1984\n")
    assert normalised("faq", reading({"pairs": {"train": ["train.tsv"]}}), tmp_path)[2]["warnings"] == []


def test_the_command_tells_what_it_read_and_what_it_did_not(folder, warm_python):
    write(folder / "train.jsonl", 20, 1)
    (folder / "corpus.yaml").write_text(yaml.safe_dump(reading(SPLITS).model_dump(mode="json")))
    outputs = [f"--{kind}={folder / 'out' / kind}" for kind in ("pairs", "documents", "audit")]
    command = [
        warm_python,
        SCRIPT,
        "--name=faq",
        f"--settings={folder / 'corpus.yaml'}",
        f"--resource={folder}",
        *outputs,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "faq: pairs: 20 train retrieval, 20 validation retrieval",
        "faq: documents: 20 train, 40 validation",
    ]
    assert (
        done.stderr
        == "warning: corpus faq: 1 of 21 rows of train set aside, 4.8% (1 x no query, first at train.jsonl:21).\n"
    )


# ---------------------------------------------------------------- html


def test_a_corpus_of_html_is_cleaned_for_training_and_evaluation_alike(tmp_path):
    rows = [
        {
            "query": "<p>Tom &amp; Jerry</p>",
            "positive": "they <b>run</b>",
            "neg": ["<br>", "a<br>b"],
            "high": 3,
            "low": [2, 1],
        },
        {"query": "<div>", "positive": "p", "neg": [], "high": 1, "low": []},
    ]
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "pool.jsonl").write_text('{"text": "<i>one</i>"}\n{"text": "<hr>"}\n')
    columns = {"negatives": ["neg"], "positive_scores": "high", "negative_scores": ["low"]}
    table = {"pairs": {split: [f"{split}.jsonl"] for split in ("train", "test")}, "columns": columns}
    settings = reading(table | {"documents": {"test": ["pool.jsonl"]}}, html=True)
    pairs, documents, audit = normalised("faq", settings, tmp_path)
    assert (
        texts(pairs, "query", "positive", "negatives", "scores") == [("Tom & Jerry", "they run", ["a b"], [3, 1])] * 2
    )
    assert texts(documents, "text", "split") == [("one", "test"), ("they run", "train"), ("they run", "test")]
    assert audit["set_aside"] == {"query is nothing but HTML": 2, "document is nothing but HTML": 1}
    plain = normalised("faq", reading({"pairs": {"train": ["train.jsonl"]}}), tmp_path)[0]
    assert plain["query"].to_list() == ["<p>Tom &amp; Jerry</p>", "<div>"]


def test_reasons_that_quote_the_rows_are_shortened_and_told_apart_up_to_a_hundred(folder):
    """A column of objects whose fields are other ones in each row: neither memory nor the audit grows with them."""
    write(folder / "train.jsonl", 200, 0)
    with (folder / "train.jsonl").open("a") as file:
        for number in range(150):
            file.write(json.dumps({"query": "q", "positive": {f"field {number} {'x' * 1000}": "p"}}) + "\n")
    audit = normalised("faq", reading(SPLITS, max_rejected=1), folder)[2]
    assert sum(audit["set_aside"].values()) == 150 and audit["set_aside"]["other reasons"] == 50
    assert len(audit["set_aside"]) == len(audit["examples"]) == 101
    assert max(map(len, audit["set_aside"])) == 300
    assert len(audit["warnings"][0]) < 1100
