import hashlib
import math
import unicodedata
import weakref
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ascent.errors import AscentError
from ascent.pairs import table
from ascent.pairs.table import (
    OPTIONAL,
    SCHEMA,
    Document,
    Pair,
    document_frame,
    pair_batches,
    pair_frame,
    read_documents,
    read_pairs,
    write_documents,
    write_pairs,
)
from ascent.pairs.text import normalise_text, text_id

PAIRS = [
    Pair("What is term life?", "Cover for a time.", ("A car.", "A house.")),
    Pair("old", "new", label=1.58, task="sts", split="test"),
]


@pytest.fixture
def frame():
    return pair_frame(PAIRS, "insurance", "eng-Latn")


def scored(scores):
    """A change that gives the first row scores."""
    return lambda frame: frame.with_columns(scores=pl.Series([scores, None]))


def test_an_id_is_a_hash_of_the_normalised_text():
    decomposed = unicodedata.normalize("NFD", "Café  au\u00a0lait\n")
    assert normalise_text(decomposed) == "Café au lait"
    assert text_id(decomposed) == hashlib.sha256("Café au lait".encode()).hexdigest()[:32]
    assert text_id("Café au lait") != text_id("café au lait")


def test_a_written_table_is_read_back(tmp_path, frame):
    write_pairs(tmp_path / "pairs.parquet", frame)
    frame.drop(OPTIONAL).write_parquet(tmp_path / "of-others.parquet")
    assert read_pairs(tmp_path / "of-others.parquet").equals(frame)
    back = read_pairs(tmp_path / "pairs.parquet")
    assert back.equals(frame)
    assert back.row(0, named=True)["negatives"] == ["A car.", "A house."]
    assert back["label"].to_list() == [None, 1.58]
    more = replace(
        PAIRS[0], scores=(9.5, -1, 2.25), query_prompt="Find: ", document_prompt="found: ", origin="a.example"
    )
    taught = pair_frame([*PAIRS, more], "insurance", "eng-Latn")
    write_pairs(tmp_path / "pairs.parquet", taught)
    assert pq.read_schema(tmp_path / "pairs.parquet").equals(SCHEMA)
    assert read_pairs(tmp_path / "pairs.parquet").equals(taught)
    assert taught["scores"].to_list() == [None, None, [9.5, -1, 2.25]]


def test_rows_that_are_not_asked_for_are_held_a_batch_at_a_time(tmp_path, monkeypatch):
    """Of a corpus of any size a task reads its test split."""
    rows = [Pair(f"q{row}", "p", split="train" if row % 10 else "test") for row in range(100)]
    monkeypatch.setattr("ascent.pairs.parquet.BATCH", 10)
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "corpus", "eng-Latn"))
    held, most = [], []

    def batches(path):
        for start, batch in pair_batches(path):
            held.append(weakref.ref(batch))
            most.append(sum(each() is not None for each in held))
            yield start, batch
            del batch

    monkeypatch.setattr(table, "pair_batches", batches)
    found = read_pairs(tmp_path / "pairs.parquet", pl.col("split") == "test")
    assert found["query"].to_list() == [f"q{row}" for row in range(0, 100, 10)]
    assert len(most) == 10 and max(most) <= 3
    assert len(read_pairs(tmp_path / "pairs.parquet")) == 100 and max(most) == 10


def test_the_same_rows_are_the_same_bytes(tmp_path, frame):
    for name in "ab":
        write_pairs(tmp_path / f"{name}.parquet", frame)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_document_is_kept_once_in_each_split(tmp_path):
    documents = document_frame(Document(*row) for row in [("b", "test"), ("a", "test"), ("b ", "test"), ("b", "train")])
    write_documents(tmp_path / "documents.parquet", documents)
    back = read_documents(tmp_path / "documents.parquet")
    assert list(back.select("text", "split").iter_rows()) == [("b", "test"), ("a", "test"), ("b", "train")]


def test_tables_of_other_writers_are_read(tmp_path, frame):
    frame.write_parquet(tmp_path / "large.parquet")  # polars writes large strings and lists
    assert read_pairs(tmp_path / "large.parquet").equals(frame)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("label"), "column 'label' is missing"),
        (
            lambda f: f.with_columns(label=pl.lit("high")),
            "column 'label' is large_string, but must be double",
        ),
        (lambda f: f.with_columns(query=pl.lit(None, pl.String)), "column 'query' has empty cells"),
        (
            lambda f: f.with_columns(negatives=pl.lit([None], pl.List(pl.String))),
            "column 'negatives' has empty cells",
        ),
        (
            lambda f: f.with_columns(positive=pl.lit("")),
            r"row 0 \(first of 2, counting from 0\) has an empty positive; fix or remove these rows\.$",
        ),
        (lambda f: f.with_columns(label=pl.lit(float("nan"))), "has a label that is NaN"),
        (scored([1.0, 2.0]), r"row 0 \(first of 1, counting from 0\) has too few or too many scores"),
        (scored([1.0, math.nan, 2.0]), "has a score that is missing or not finite"),
        (scored([1.0, 2.0, None]), "has a score that is missing or not finite"),
        (lambda f: f.with_columns(task=pl.lit("retreival")), "has a task that is none of retrieval, "),
        (
            lambda f: f.with_columns(split=pl.lit("dev")),
            "has a split that is none of train, validation, test",
        ),
        (lambda f: f.clear(), "has no rows"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, frame, change, message):
    path = tmp_path / "pairs.parquet"
    pq.write_table(change(frame).to_arrow(), path)
    with pytest.raises(AscentError, match=f"^{path}: .*{message}"):
        read_pairs(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AscentError, match="nowhere.parquet: no such file"):
        read_pairs(tmp_path / "nowhere.parquet")


def test_a_truncated_table_is_refused(tmp_path, frame):
    path = tmp_path / "pairs.parquet"
    write_pairs(path, frame)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(AscentError, match="not a complete parquet file"):
        read_pairs(path)


def test_the_schema_keeps_its_order(frame):
    assert frame.columns == SCHEMA.names
    assert frame.select(reversed(frame.columns)).to_arrow().select(SCHEMA.names).cast(SCHEMA).schema == SCHEMA
    assert pa.types.is_list(SCHEMA.field("negatives").type)
