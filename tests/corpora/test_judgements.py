"""BEIR's form, and those of MS MARCO and TREC: small corpora, and the pairs, documents and rows set aside, by hand."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ascent.components import module_of
from ascent.corpora.readers import Rejected
from ascent.errors import AscentError
from ascent.evaluation.local_tasks import Tables
from ascent.evaluation.tasks import make_task
from ascent.pairs.table import Pair, write_documents, write_pairs
from ascent.settings.evaluation import TaskSettings
from ascent.settings.validation import check
from support.corpora import corpus, texts
from support.pairs import normalised

CORPUS = [
    {"_id": "k2", "title": "K2", "text": "The second highest mountain, in the Karakoram.", "metadata": {}},
    {"_id": "everest", "title": "", "text": "Everest is 8,849 metres high."},
    {"_id": "alps", "title": "Alps", "text": ""},
    {"_id": "4", "title": None, "text": "Kilimanjaro is a volcano."},
]
POOL = [
    "K2 The second highest mountain, in the Karakoram.",
    "Everest is 8,849 metres high.",
    "Alps",
    "Kilimanjaro is a volcano.",
]
K2, EVEREST, ALPS, VOLCANO = POOL
QUERIES = [
    {"_id": "q1", "text": "which mountain is highest"},
    {"_id": "q2", "text": "where is  K2"},
    {"_id": "q3", "text": "which mountain is a volcano", "metadata": {"url": "no text"}},
    {"_id": "q4", "text": "of no judgement"},
]
HIGHEST, WHERE, WHICH = (" ".join(query["text"].split()) for query in QUERIES[:3])
HEADER = "query-id\tcorpus-id\tscore\n"
TRAIN = HEADER + "q1\teverest\t2\nq1\tk2\t1\nq1\talps\t0\nq2\tk2\t1\n"
TEST = HEADER + "q3\t4\t3\nq3\talps\t0\nq3\tk2\t1\n"


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path, **files: str) -> Path:
    """Write a folder of BEIR, or other files in place of some; `__` is the folder's mark, `_` the point before a
    suffix."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    given = {
        "corpus_jsonl": lines(CORPUS),
        "queries_jsonl": lines(QUERIES),
        "qrels__train_tsv": TRAIN,
        "qrels__test_tsv": TEST,
    }
    for name, text in (given | files).items():
        path, suffix = name.replace("__", "/").rsplit("_", 1)
        (folder / f"{path}.{suffix}").write_text(text)
    return folder


def beir(folder: Path, **settings):
    return normalised("peaks", corpus("beir", **{"qrels": {"train": ["qrels/train.tsv"]}} | settings), folder)


def refused(folder: Path, **settings) -> str:
    with pytest.raises(AscentError) as error:
        beir(folder, **settings)
    return str(error.value)


# ---------------------------------------------------------------- BEIR


def test_beir(tmp_path):
    qrels = {split: [f"qrels/{split}.tsv"] for split in ("train", "test")}
    pairs, documents, audit = beir(write(tmp_path), qrels=qrels)
    assert texts(pairs, "query", "positive", "negatives", "label", "split", "task") == [
        (HIGHEST, EVEREST, [ALPS], None, "train", "retrieval"),
        (HIGHEST, K2, [ALPS], None, "train", "retrieval"),
        (WHERE, K2, [], None, "train", "retrieval"),
        (WHICH, VOLCANO, [ALPS], 3, "test", "retrieval"),
        (WHICH, K2, [ALPS], 1, "test", "retrieval"),
    ]
    for split in ("train", "test"):  # every document is in each split's pool, once
        assert sorted(text for text, of in texts(documents, "text", "split") if of == split) == sorted(POOL)
    assert set(documents["origin"]) == {"k2", "everest", "alps", "4"}
    ids = dict(texts(documents, "text", "origin"))
    assert pairs["origin"].to_list() == [ids[text] for text in pairs["positive"]]
    assert audit["set_aside"] == {} and audit["warnings"] == []


def test_the_least_grade_of_a_positive(tmp_path):
    """What is judged lower is a negative, and of a query without a positive no judgement is used."""
    pairs, _, audit = beir(write(tmp_path), min_grade=2, graded=["train"])
    assert texts(pairs, "query", "positive", "negatives", "label") == [(HIGHEST, EVEREST, [K2, ALPS], 2)]
    assert audit["set_aside"] == {"its query has no usable document of grade 2 or above": 1}
    assert audit["examples"] == {"its query has no usable document of grade 2 or above": ["train.tsv:5"]}
    assert beir(tmp_path, min_grade=2, negatives=1)[0]["negatives"].to_list() == [[K2]]
    assert beir(tmp_path, min_grade=2, negatives=0)[0]["negatives"].to_list() == [[]]


def test_tables_of_a_hub_and_other_splits(tmp_path):
    """mteb's copies: `id`, numbers for ids, judgements as jsonl or parquet."""
    pq.write_table(pa.table({"id": [1, 2], "title": ["", "T"], "text": ["a", "b"]}), tmp_path / "corpus.parquet")
    (tmp_path / "queries.jsonl").write_text(lines([{"id": 7, "text": "q"}]))
    (tmp_path / "dev.jsonl.gz").write_bytes(
        gzip.compress(lines([{"query-id": 7, "corpus-id": 2, "score": 1}]).encode(), mtime=0)
    )
    settings = {"corpus": ["*.parquet"], "qrels": {"validation": ["dev.*"]}}
    pairs, documents, _ = beir(tmp_path, **settings)
    assert texts(pairs, "query", "positive", "split") == [("q", "T b", "validation")]
    assert texts(documents, "text", "split") == [("a", "validation"), ("T b", "validation")]


def test_what_cannot_be_used_is_set_aside_and_counted(tmp_path):
    documents = [
        *CORPUS,
        {"_id": "empty", "title": "", "text": " "},
        {"title": "", "text": "without an id"},
        {"_id": "twice", "text": "one text"},
        {"_id": "twice", "text": "another"},
        {"_id": "again", "text": "the same"},
        {"_id": "again", "text": "the  same"},
    ]
    queries = [
        *QUERIES,
        {"_id": "blank", "text": ""},
        {"_id": "two", "text": "a"},
        {"_id": "two", "text": "b"},
        {"text": "q"},
    ]
    judged = [
        ("q1", "everest", "1", None),
        ("q2", "nowhere", "1", "no document has its id, and a text"),
        ("q2", "empty", "1", "no document has its id, and a text"),
        ("q2", "twice", "1", "two document texts have its id"),
        ("q2", "again", "1", None),
        ("q2", "again", "2", "judged before"),
        ("q9", "k2", "1", "no query has its id, and a text"),
        ("blank", "k2", "1", "no query has its id, and a text"),
        ("two", "k2", "1", "two query texts have its id"),
        ("q3", "k2", "high", "grade is not a number"),
        ("q3", "k2", "0.5", "grade is not a whole number"),
        ("q3", "", "1", "no document's id"),
        ("q3", "everest", "0", "its query has no usable document of grade 1 or above"),
        ("q3", "nowhere", "1", "no document has its id, and a text"),
    ]
    table = HEADER + "".join("\t".join(row[:3]) + "\n" for row in judged)
    write(tmp_path, corpus_jsonl=lines(documents), queries_jsonl=lines(queries), qrels__train_tsv=table)
    reading = corpus("beir", qrels={"train": ["qrels/train.tsv"]})
    found = [*module_of(reading.reader).read(tmp_path, reading.reader)]
    assert [(row.query, row.positive) for row in found if isinstance(row, Pair)] == [
        (HIGHEST, EVEREST),
        (WHERE, "the same"),
    ]
    aside = {row.where: row.reason for row in found if isinstance(row, Rejected) and row.part == "train"}
    assert aside == {f"train.tsv:{number}": reason for number, (*_, reason) in enumerate(judged, 2) if reason}
    of_documents = {
        row.where: row.reason for row in found if isinstance(row, Rejected) and row.part == "train documents"
    }
    assert of_documents == {"corpus.jsonl:5": "no document", "corpus.jsonl:6": "no document's id"}
    # Rows in are rows kept and rows set aside.
    assert len(found) == len(judged) + len(documents)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"qrels__train_tsv": TRAIN.removeprefix(HEADER)},
            "column 'query-id' is missing (there are: 2, everest, q1); its first line",
        ),
        (
            {"qrels__train_tsv": TRAIN.replace("score", "grade")},
            "column 'score' is missing (there are: corpus-id, grade, query-id)",
        ),
        (
            {"corpus_jsonl": lines([{"_id": "1", "contents": "a"}])},
            "column 'text' is missing (there are: _id, contents); use another",
        ),
        (
            {"queries_jsonl": lines([{"_id": "1", "query": "a"}])},
            "column 'text' is missing (there are: _id, query); use another",
        ),
        ({"qrels__train_tsv": HEADER}, "no usable row of train (1 x the file has no rows, first at train.tsv)"),
        (
            {"queries_jsonl": lines([{"text": "a"}])},
            "no usable row of train (4 x no query has its id, and a text, first at",
        ),
    ],
)
def test_another_form_is_refused(tmp_path, files, message):
    assert message in refused(write(tmp_path, **files))


def test_settings_that_fit_nothing_are_refused(tmp_path):
    write(tmp_path)
    assert "no file 'qrels/dev.tsv'" in refused(tmp_path, qrels={"validation": ["qrels/dev.tsv"]})
    assert "runs.test has no judgements" in refused(tmp_path, runs={"test": ["run.txt"]})


def test_texts_are_not_held(tmp_path):
    """Of 6 MB of documents, of which two are judged, less than one is in memory."""
    with (tmp_path / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": str(i), "text": f"{i} " + "x" * 3000}) + "\n" for i in range(2000))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "q"}')
    (tmp_path / "train.tsv").write_text(HEADER + "q\t7\t1\nq\t1999\t1\n")
    reader = corpus("beir", qrels={"train": ["train.tsv"]}).reader
    read = module_of(reader).read
    tracemalloc.start()
    found = [row.positive[:5] for row in read(tmp_path, reader) if isinstance(row, Pair)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["7 xxx", "1999 "]
    assert peak < 2**20


# ---------------------------------------------------------------- MS MARCO and TREC

COLLECTION = "0\tEverest is the highest.\n1\tK2 is in the Karakoram.\n2\tThe Alps are in Europe.\n3\tA volcano burns.\n"
ASKED = "10\thow high is  Everest\n11\twhere is K2\n"


def trec(folder: Path, **settings):
    (folder / "collection.tsv").write_text(settings.pop("text", COLLECTION))
    (folder / "queries.tsv").write_text(ASKED)
    return normalised(
        "marco", corpus("trec", collection=["collection.tsv"], queries=["queries.tsv"], **settings), folder
    )


def test_judgements_and_runs(tmp_path):
    (tmp_path / "qrels.tsv").write_text("10\t0\t0\t1\n11 0 1 2\n11 0 2 0\n")
    # TREC's form, out of order; MS MARCO's; a relevant document, a judged one, one of no query.
    (tmp_path / "a.run").write_text("10 Q0 3 2 8.1 bm25\n10 Q0 2 1 9.5 bm25\n10 Q0 0 3 7.7 bm25\n12 Q0 1 1 9 bm25\n")
    (tmp_path / "b.run").write_text(
        "11\t3\t1\n11\t2\t2\n11\t1\t3\n11\t0\t4\n11\tnone\t5\nq 1\n11 0 first\n11 0 99999999999999999999\n"
    )
    pairs, documents, audit = trec(tmp_path, qrels={"train": ["qrels.tsv"]}, runs={"train": ["*.run"]}, negatives=3)
    assert texts(pairs, "query", "positive", "negatives") == [
        ("how high is Everest", "Everest is the highest.", ["The Alps are in Europe.", "A volcano burns."]),
        (
            "where is K2",
            "K2 is in the Karakoram.",
            ["The Alps are in Europe.", "A volcano burns.", "Everest is the highest."],  # the judged one first
        ),
    ]
    assert audit["examples"] == {
        "2 cells, not 6 (query, Q0, document, rank, score, tag) or 3 (query, document, rank)": ["b.run:6"],
        "rank is not a number": ["b.run:7", "b.run:8"],
        "no document has its id, and a text": ["b.run:5"],
    }
    assert len(documents) == 4
    pairs = trec(tmp_path, qrels={"train": ["qrels.tsv"]}, runs={"train": ["*.run"]}, negatives=1)[0]
    assert pairs["negatives"].to_list() == [["The Alps are in Europe."], ["The Alps are in Europe."]]


def test_triples_of_ids_and_of_texts(tmp_path):
    (tmp_path / "triples.tsv").write_bytes(b"10\t0\t3\n11\t1\t9\n10\t0\n11\t1\t2\n11\t1\t\xe9\n")
    pairs, documents, audit = trec(tmp_path, triples={"train": ["triples.tsv"]})
    assert texts(pairs, "query", "positive", "negatives") == [
        ("how high is Everest", "Everest is the highest.", ["A volcano burns."]),
        ("where is K2", "K2 is in the Karakoram.", ["The Alps are in Europe."]),
    ]
    assert audit["set_aside"] == {
        "2 cells, not 3 (query, positive, negative)": 1,
        "negative's id is not valid UTF-8": 1,
        "no document has its id, and a text": 1,
    }
    assert len(documents) == 4
    (tmp_path / "texts.tsv").write_text('what is "it"\tthis one\tthat one\nq\t\tn\n')
    pairs, documents, audit = normalised("marco", corpus("trec", triples={"train": ["texts.tsv"]}), tmp_path)
    assert texts(pairs, "query", "positive", "negatives") == [('what is "it"', "this one", ["that one"])]
    assert audit["set_aside"] == {"no positive": 1}
    assert texts(documents, "text") == [("this one",)]


def test_documents_of_more_cells_and_lines_that_are_broken(tmp_path):
    """MS MARCO's documents: id, url, title, text."""
    (tmp_path / "qrels.txt").write_text("10 0 D1 1\n10 0 D2 1\n10 0 D3\n")
    text = (
        "D1\thttps://a.example/1\tEverest\tIt is high.\nD2\thttps://a.example/2\t\tIt is cold.\nD3\tbroken\n"
        " \nD4\tu\t\t\n"
    )
    settings = {"qrels": {"test": ["qrels.txt"]}, "cells": ["id", "url", "title", "text"], "text": text}
    pairs, documents, audit = trec(tmp_path, **settings)
    assert texts(pairs, "positive", "label") == [("Everest It is high.", 1), ("It is cold.", 1)]
    assert texts(documents, "text") == [("Everest It is high.",), ("It is cold.",)]
    assert audit["examples"] == {
        "3 cells, not 4 (query, 0, document, grade)": ["qrels.txt:3"],
        "2 cells, not 4 (id, url, title, text)": ["collection.tsv:3"],
        "no document": ["collection.tsv:5"],
    }


def test_files_whose_first_line_names_their_cells(tmp_path):
    """As T2Ranking's do; its judgements have a dash for the second cell."""
    header = {"collection": "pid\ttext\n", "queries": "qid\ttext\n", "qrels": "qid\t-\tpid\trel\n"}
    for name, rest in {"collection": COLLECTION, "queries": ASKED, "qrels": "10\t0\t0\t3\n11\t0\t1\t2\n"}.items():
        (tmp_path / f"{name}.tsv").write_text(header[name] + rest)
    files = {"collection": ["collection.tsv"], "queries": ["queries.tsv"], "qrels": {"test": ["qrels.tsv"]}}
    pairs, documents, audit = normalised("t2", corpus("trec", header=True, **files), tmp_path)
    assert texts(pairs, "query", "positive", "label") == [
        ("how high is Everest", "Everest is the highest.", 3),
        ("where is K2", "K2 is in the Karakoram.", 2),
    ]
    assert len(documents) == 4 and not audit["set_aside"]
    (tmp_path / "qrels.tsv").write_text(header["qrels"])
    with pytest.raises(AscentError, match=r"no usable row of test \(1 x the file has no rows, first at qrels.tsv\)"):
        normalised("t2", corpus("trec", header=True, **files), tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no file has pairs; name `qrels` or `triples`"),
        ({"qrels": {"train": ["a"]}}, "name both `collection` and `queries`"),
        ({"triples": {"train": ["a"]}, "queries": ["b"]}, "name both `collection` and `queries`"),
        ({"triples": {"train": ["a"]}, "cells": ["id"]}, "name both in `cells`"),
    ],
)
def test_settings_of_trec_that_lack_files_are_refused(settings, message):
    with pytest.raises(AscentError, match=message):
        corpus("trec", **settings)


# ---------------------------------------------------------------- grades in local tasks


@pytest.mark.parametrize("kind", ["retrieval", "reranking"])
def test_a_local_task_ranks_by_grades(tmp_path, kind):
    pairs, documents, _ = beir(write(tmp_path), qrels={"test": ["qrels/test.tsv"]})
    write_pairs(tmp_path / "pairs.parquet", pairs)
    write_documents(tmp_path / "documents.parquet", documents)
    settings = check(TaskSettings, {"name": "Peaks", "task": {"type": kind, "corpus": "peaks"}}, "the.yaml")
    task = make_task(settings, Tables(tmp_path / "pairs.parquet", tmp_path / "documents.parquet", folder=tmp_path))
    data = task.dataset["default"]["test"]
    text = dict(zip(data["corpus"]["id"], data["corpus"]["text"], strict=True))
    [grades] = data["relevant_docs"].values()
    assert {text[id]: grade for id, grade in grades.items()} == {VOLCANO: 3, K2: 1}


def test_a_label_that_is_no_grade_is_refused(tmp_path):
    (tmp_path / "test.jsonl").write_text(
        lines([{"query": "q", "positive": "p", "s": 0.5}, {"query": "r", "positive": "t", "s": 1}])
    )
    pairs, documents, _ = normalised("c", corpus(pairs={"test": ["*.jsonl"]}, columns={"label": "s"}), tmp_path)
    write_pairs(tmp_path / "pairs.parquet", pairs)
    write_documents(tmp_path / "documents.parquet", documents)
    settings = check(TaskSettings, {"name": "C", "task": {"type": "retrieval", "corpus": "c"}}, "the.yaml")
    with pytest.raises(
        AscentError, match=r"c: a row of the split 'test' has the label 0\.5, but a grade .* is a whole number"
    ):
        make_task(settings, Tables(tmp_path / "pairs.parquet", tmp_path / "documents.parquet", folder=tmp_path))
