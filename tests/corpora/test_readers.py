import gzip
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from ascent.errors import AscentError
from ascent.pairs.table import read_documents, read_pairs
from ascent.pairs.text import text_id
from support.corpora import corpus, texts
from support.pairs import normalised

SCRIPT = Path(__file__).parents[2] / "scripts" / "normalise_corpus.py"


def table(folder, file="train.jsonl", **settings):
    return normalised("insurance", corpus(pairs={"train": [file]}, **settings), folder)


ROWS = [("What is  term life?", "Cover for a time."), ("Say “when”", 'A "quoted", text'), ("三 年", "是的\n")]


READ = [("What is term life?", "Cover for a time."), ("Say “when”", 'A "quoted", text'), ("三 年", "是的")]


CSV = (
    "query,positive\nWhat is  term life?,Cover for a time.\n"
    'Say “when”,"A ""quoted"", text"\n'
    '三 年,"是的\n"\n'  # a cell may hold a line's end
)


TSV = '\ufeffquery\tpositive\r\nWhat is  term life?\tCover for a time.\r\nSay “when”\tA "quoted", text\r\n三 年\t是的'


def jsonl(rows):
    return "".join(json.dumps({"query": q, "positive": p}) + "\n" for q, p in rows).encode()


# ------------------------------------------------------------------ table


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", jsonl(ROWS)),
        ("train.jsonl.gz", gzip.compress(jsonl(ROWS), mtime=0)),
        ("train.jsonl.zst", zstandard.compress(jsonl(ROWS))),
        ("train.csv", CSV),
        ("train.tsv", TSV),
    ],
)
def test_every_format_gives_the_same_pairs(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    pairs, documents, audit = table(tmp_path, name)
    assert texts(pairs) == READ
    assert texts(documents, "text", "split") == [(positive, "train") for _, positive in READ]
    assert audit["pairs"] == {"train retrieval": 3} and audit["set_aside"] == {}
    assert set(texts(pairs, "dataset", "language", "task")) == {("insurance", "eng-Latn", "retrieval")}


@pytest.mark.parametrize("compress", [None, gzip.compress, zstandard.compress])
def test_parquet(tmp_path, compress):
    columns = {"query": [q for q, _ in ROWS], "positive": [p for _, p in ROWS]}
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(columns), path)
    if compress:
        suffix = ".gz" if compress is gzip.compress else ".zst"
        path.with_name("train.parquet" + suffix).write_bytes(compress(path.read_bytes()))
        path.unlink()
    assert texts(table(tmp_path, "train.parquet*")[0]) == READ


def test_columns_negatives_labels_and_documents(tmp_path):
    row = {"q": "a", "pos": ["b", "c"], "neg": ["d", " e "], "hard": "", "score": 3}
    (tmp_path / "dev.jsonl").write_text(json.dumps(row))
    (tmp_path / "pool.csv").write_text("id,body\n1,f\n2,b\n3, \n")
    columns = {"query": "q", "positive": "pos", "negatives": ["neg", "hard"], "label": "score"}
    settings = corpus(
        pairs={"validation": ["*.jsonl"]},
        columns=columns,
        documents={"validation": ["pool.csv"]},
        document_column="body",
    )
    pairs, documents, audit = normalised("insurance", settings, tmp_path)
    assert texts(pairs, "query", "positive", "label") == [("a", "b", 3.0), ("a", "c", 3.0)]
    assert pairs["negatives"].to_list() == [["d", "e"]] * 2
    assert pairs["positive_id"].to_list() == [text_id("b"), text_id("c")]
    assert documents["text"].to_list() == [
        "f",
        "b",
        "c",
    ]  # the given ones first, then positives that they lack
    assert audit["set_aside"] == {"no document": 1} and audit["examples"] == {"no document": ["pool.csv:4"]}


def test_rows_may_have_prompts_of_their_own(tmp_path):
    rows = [("Find it: ", "a file"), ("", None), ("Find  it", 3)]
    given = [{"query": f"q{i}", "positive": "p", "how": how, "what": what} for i, (how, what) in enumerate(rows)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    pairs, _, audit = table(tmp_path, columns={"query_prompt": "how", "document_prompt": "what"})
    assert pairs["query_prompt"].to_list() == ["Find it: ", None]  # a space at its end counts
    assert pairs["document_prompt"].to_list() == ["a file", None]
    assert audit["set_aside"] == {"prompt is not text": 1}


def test_rows_may_say_where_they_come_from(tmp_path):
    origins = ["https://a.example/1", 7, "", None, {"url": "b"}]
    given = [{"query": f"q{place}", "positive": ["p", "r"], "from": {"at": at}} for place, at in enumerate(origins)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    pairs, _, audit = table(tmp_path, columns={"origin": "from.at"})
    assert texts(pairs, "query", "positive", "origin") == [
        (f"q{place}", text, origin)
        for place, origin in enumerate(["https://a.example/1", "7", None, None])
        for text in ("p", "r")
    ]
    assert audit["set_aside"] == {"origin is not text": 1}
    assert table(tmp_path)[0]["origin"].to_list() == [None] * 10


def test_classes_may_be_numbers_and_are_no_documents(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"query": "a", "positive": 1}')
    pairs, documents, _ = table(tmp_path, task="classification")
    assert texts(pairs) == [("a", "1")] and documents.is_empty()


GOOD = b'{"query": "q", "positive": "p", "score": 1}\n'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"query": " ", "positive": "p", "score": 1}', "no query"),
        (b'{"query": "q", "positive": null, "score": 1}', "no positive"),
        (b'{"query": "q", "score": 1}', "no positive"),
        (b'{"query": "q", "positive": [], "score": 1}', "no positive"),
        (b'{"query": 7, "positive": "p", "score": 1}', "query is not text"),
        (b'{"query": "caf\xe9", "positive": "p", "score": 1}', "query is not valid UTF-8"),
        (b'{"query": "q", "positive": "\\ud800", "score": 1}', "positive is not valid UTF-8"),
        (b'{"query": "q", "positive": "p", "score": NaN}', "label is not a finite number"),
        (b'{"query": "q", "positive": "p", "score": "high"}', "label is not a number"),
        (b'{"query": "q", "positive": "p", "score": null}', "label is not a number"),
        (b'{"query": "q", "positive": "p", "score": 1%s}' % (b"0" * 400), "label is not a finite number"),
        (b'{"query": "q", "positive": "p", "sco', "not a JSON object"),
        (b'"query"', "not a JSON object"),
    ],
)
def test_a_bad_row_is_set_aside_and_counted(tmp_path, row, reason):
    (tmp_path / "train.jsonl").write_bytes(GOOD + row + b"\n\n" + GOOD)
    pairs, _, audit = table(tmp_path, columns={"label": "score"})
    assert len(pairs) == 2
    assert audit["set_aside"] == {reason: 1}
    assert audit["examples"] == {reason: ["train.jsonl:2"]}


SCORED = {
    "query": "q",
    "positive": ["p", "r"],
    "neg": ["n", "", "m"],
    "pos_scores": [9, 8.5],
    "neg_scores": [-1, 0, "2.5"],
}


SCORES = {"negatives": ["neg"], "positive_scores": "pos_scores", "negative_scores": ["neg_scores"]}


def test_a_teacher_s_scores_come_with_their_texts(tmp_path):
    """In lists, as FlagEmbedding has them; and in columns of their own, of texts of which one may be empty."""
    (tmp_path / "train.jsonl").write_text(json.dumps(SCORED))
    pairs = table(tmp_path, columns=SCORES)[0]
    assert texts(pairs, "positive", "negatives", "scores") == [
        ("p", ["n", "m"], [9, -1, 2.5]),
        ("r", ["n", "m"], [8.5, -1, 2.5]),
    ]
    (tmp_path / "train.csv").write_text("query,positive,a,b,of_p,of_a,of_b\nq,p,,n,.5,,.25\nr,s,n,,-1,2,\n")
    columns = {"negatives": ["a", "b"], "positive_scores": "of_p", "negative_scores": ["of_a", "of_b"]}
    pairs, _, audit = table(tmp_path, "train.csv", columns=columns)
    assert texts(pairs, "negatives", "scores") == [(["n"], [0.5, 0.25]), (["n"], [-1, 2])]
    assert audit["set_aside"] == {}
    assert table(tmp_path, "train.csv")[0]["scores"].to_list() == [None, None]
    (tmp_path / "train.jsonl").write_text(json.dumps(SCORED | {"positive": 0, "pos_scores": 7}))  # a class's number
    assert table(tmp_path, columns=SCORES, task="classification")[0]["scores"].to_list() == [[7, -1, 2.5]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"neg_scores": [-1, 0]}, "not one score per negative"),
        ({"neg_scores": None}, "not one score per negative"),
        ({"neg_scores": -1}, "not one score per negative"),
        ({"pos_scores": [9]}, "not one score per positive"),
        ({"pos_scores": 9}, "not one score per positive"),
        ({"pos_scores": [9, math.nan]}, "positive's score is not a finite number"),
        ({"neg_scores": [-1, 0, math.nan]}, "negative's score is not a finite number"),
        ({"neg_scores": [-1, 0, None]}, "negative's score is not a number"),
        ({"neg_scores": [-1, 0, [1]]}, "negative's score is not a number"),
        ({"positive": []}, "not one score per positive"),
    ],
)
def test_a_row_without_its_scores_is_set_aside_and_counted(tmp_path, change, reason):
    rows = [SCORED, SCORED | change, {name: cell for name, cell in SCORED.items() if name != "pos_scores"}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs, _, audit = table(tmp_path, columns=SCORES)
    expected = Counter([reason, "not one score per positive"])
    assert len(pairs) == 2
    assert audit["set_aside"] == expected
    assert audit["examples"][reason][0] == "train.jsonl:2"


@pytest.mark.parametrize(
    "columns",
    [
        {"positive_scores": "pos_scores"},
        {"negatives": ["neg"], "positive_scores": "pos_scores"},
        {"negatives": ["neg"], "negative_scores": ["neg_scores"]},
        {"negatives": ["neg"], "positive_scores": "pos_scores", "negative_scores": ["neg_scores", "more"]},
    ],
)
def test_scores_of_some_documents_only_are_refused(tmp_path, columns):
    (tmp_path / "train.jsonl").write_text(json.dumps(SCORED))
    with pytest.raises(AscentError, match=r"'reader.columns': a teacher's scores are those of the positive and of all"):
        table(tmp_path, columns=columns)


def test_at_most_five_examples_of_a_reason_are_kept(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(GOOD + b"broken\n" * 7)
    audit = table(tmp_path)[2]
    assert audit["set_aside"] == {"not a JSON object": 7}
    assert audit["examples"]["not a JSON object"] == [f"train.jsonl:{row}" for row in range(2, 7)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q,p,surplus", "more cells than the header has"),
        ("q,", "no positive"),
        (b"caf\xe9,p", "query is not valid UTF-8"),
    ],
)
def test_a_bad_csv_row_is_set_aside(tmp_path, row, reason):
    row = row if isinstance(row, bytes) else row.encode()
    (tmp_path / "train.csv").write_bytes(b"query,positive\nq,p\n" + row + b"\n")
    audit = table(tmp_path, "train.csv")[2]
    assert audit["set_aside"] == {reason: 1} and audit["examples"][reason] == ["train.csv:3"]


def test_broken_utf8_in_parquet_is_set_aside(tmp_path):
    unchecked = pa.array([b"q", b"caf\xe9", b"r"], pa.binary()).buffers()
    broken = pa.Array.from_buffers(pa.string(), 3, unchecked)
    pq.write_table(pa.table({"query": broken, "positive": ["a", "b", "c"]}), tmp_path / "train.parquet")
    pairs, _, audit = table(tmp_path, "train.parquet")
    assert texts(pairs) == [("q", "a"), ("r", "c")]
    assert audit["examples"] == {"not valid UTF-8": ["train.parquet:2"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.jsonl",
            b'{"question": "q", "positive": "p"}',
            r"train.jsonl: column 'query' is missing \(there are: positive, ",
        ),
        ("train.csv", b"question,positive\nq,p\n", "train.csv: column 'query' is missing"),
        (
            "train.jsonl",
            b"",
            r"corpus insurance: no usable row of train \(1 x the file has no rows, first at train.jsonl\)",
        ),
        (
            "train.csv",
            b"query,positive\n",
            r"corpus insurance: no usable row of train \(1 x the file has no rows, first at train",
        ),
        (
            "train.jsonl",
            b'{"query": "", "positive": "p"}\n',
            r"no usable row of train \(1 x no query, first at train.jsonl:1\)",
        ),
        ("train.jsonl.gz", gzip.compress(GOOD * 500, mtime=0)[:-30], "train.jsonl.gz: cannot be read to its end"),
        (
            "train.jsonl.zst",
            zstandard.compress(GOOD * 500)[:-30],
            "train.jsonl.zst: cannot be read to its end",
        ),
        ("train.parquet", b"PAR1", "train.parquet: cannot be read to its end"),
        ("train.xlsx", b"", "train.xlsx: unknown format; use one of .jsonl"),
    ],
)
def test_a_useless_file_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AscentError, match=message):
        table(tmp_path, name)


def test_a_missing_file_is_named_with_the_nearest(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(GOOD)
    with pytest.raises(AscentError, match="no file 'trian.jsonl'; did you mean 'train.jsonl'"):
        table(tmp_path, "trian.jsonl")


# ------------------------------------------------------------------ the command


def test_the_command_writes_the_same_bytes_twice(tmp_path, warm_python):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train.jsonl").write_bytes(GOOD)
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(corpus(pairs={"train": ["train.jsonl"]}).model_dump()))
    command = [SCRIPT, "--name", "tiny", "--settings", "corpus.yaml", "--resource", "raw"]
    for run, python in (("one", sys.executable), ("two", warm_python)):
        outputs = [f"--{kind}={run}/{kind}" for kind in ("pairs", "documents", "set-aside", "audit")]
        subprocess.run([python, *command, *outputs], cwd=tmp_path, check=True)
    for kind in ("pairs", "documents", "set-aside", "audit"):
        assert (tmp_path / "one" / kind).read_bytes() == (tmp_path / "two" / kind).read_bytes()
    assert texts(read_pairs(tmp_path / "one/pairs")) == [("q", "p")]
    assert texts(read_documents(tmp_path / "one/documents"), "text") == [("p",)]
