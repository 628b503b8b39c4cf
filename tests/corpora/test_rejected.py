"""Rows set aside are told at once; too many of them, or all of a split, stop the run."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml

from ascent.corpora.normalise import normalise
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
    outputs = [f"--{kind}={folder / 'out' / kind}" for kind in ("pairs", "documents", "set-aside", "audit")]
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


# ---------------------------------------------------------------- kept to be read


def kept_aside(folder: Path, corpus: Reading) -> tuple[list[dict[str, str]], str]:
    """Return the rows set aside that are kept, and why the corpus is refused, if it is."""
    files, refused = [folder / f"{kind}.parquet" for kind in ("pairs", "documents", "set_aside")], ""
    for file in files:
        file.unlink(missing_ok=True)
    try:
        normalise("faq", corpus, folder, *files)
    except AscentError as error:
        refused = str(error)
    assert files[0].exists() == files[1].exists() == (not refused)
    return pl.read_parquet(files[2]).to_dicts(), refused


def test_rows_set_aside_are_kept_as_they_were_read_whether_the_corpus_is_refused_or_not(folder):
    lines = ['{"query": "", "positive": "答案", "id": 7}', "{broken", r'{"query": "\udcff", "positive": "p"}']
    (folder / "train.jsonl").write_text((folder / "dev.jsonl").read_text() + "\n".join(lines))
    (folder / "pool.jsonl").write_text('{"text": "t"}\n{"text": null, "name": "n"}\n')
    expected = [
        ("no query", "train", "train.jsonl:21", lines[0]),
        ("not a JSON object", "train", "train.jsonl:22", ""),
        ("query is not valid UTF-8", "train", "train.jsonl:23", lines[2]),
        ("no document", "validation documents", "pool.jsonl:2", '{"text": null, "name": "n"}'),
    ]
    rows, refused = kept_aside(folder, reading(SPLITS))
    assert [tuple(row.values()) for row in rows] == expected and not refused
    write(folder / "dev.jsonl", 20, 20)
    rows, refused = kept_aside(folder, reading(SPLITS))
    assert "(20 x no query, first at dev.jsonl:21), but max_rejected is 10.0%" in refused
    assert [row["where"] for row in rows if row["part"] == "validation"] == [f"dev.jsonl:{n}" for n in range(21, 41)]


def test_of_each_reason_a_thousand_rows_are_kept_and_of_a_row_its_beginning(folder):
    write(folder / "train.jsonl", 20, 1005)
    with (folder / "dev.jsonl").open("a") as file:
        file.write(json.dumps({"query": " ", "positive": "p" * 10**6}) + "\n" + '{"query": "q"}\n')
    rows, _ = kept_aside(folder, reading(SPLITS, max_rejected=1))
    assert Counter(row["reason"] for row in rows) == {"no query": 1000, "no positive": 1}
    (folder / "train.jsonl").write_text((folder / "pool.jsonl").read_text())
    rows, _ = kept_aside(folder, reading(SPLITS, max_rejected=1))
    assert [len(row["row"]) for row in rows] == [2000, len('{"query": "q"}')]


def test_judgements_set_aside_name_their_query_and_document(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "one"}\n{"_id": "d2", "text": " "}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "which"}\n')
    qrels = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t1\nq9\td1\t1\nq1\td1\t2\n"
    (tmp_path / "test.tsv").write_text(qrels)
    rows, _ = kept_aside(tmp_path, reading({"type": "beir", "qrels": {"test": ["test.tsv"]}}))
    assert {(row["where"], row["row"]) for row in rows} == {
        ("test.tsv:3", '{"query": "q1", "document": "d2"}'),
        ("test.tsv:4", '{"query": "q9", "document": "d1"}'),
        ("test.tsv:5", '{"query": "q1", "document": "d1", "grade": "2"}'),
        ("corpus.jsonl:2", '{"_id": "d2", "text": " ", "id": "d2"}'),
    }


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
