"""Files of JSON as `datasets` loads them for a task of mteb: each row as the json module reads it."""

import gzip
import json
from itertools import product
from pathlib import Path

import datasets
import pytest
from hypothesis import strategies as st

from ascent.corpora import json_for_datasets
from ascent.corpora.json_for_datasets import read_by_rows
from ascent.corpora.readers.mteb import _decoded
from ascent.errors import AscentError
from support.corpora import corpus, texts
from support.fuzzing import fuzzed, holds, values
from support.pairs import normalised


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def loaded(folder: Path, content: bytes, name: str = "train.jsonl") -> list[dict]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    with read_by_rows():
        return [*_decoded(datasets.load_dataset(str(folder))["train"])]


def same(found, wanted) -> bool:
    """Whether two values are equal, down to NaN; whole numbers may have become doubles, beside some."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, dict):
        return [*found] == [*wanted] and all(same(found[name], wanted[name]) for name in wanted)
    return (found == wanted or (found != found and wanted != wanted)) and isinstance(found, bool) == isinstance(
        wanted, bool
    )


KINDS = ["a", 1, 0.5, True, {"b": 1}, [1], ["a"], [None, 1], [{"b": 1}], [[1]], [None, None]]


@pytest.mark.parametrize("first", [1, "a"])
def test_what_kills_the_reader_of_arrow_is_read(tmp_path, first):
    """A column whose first kind fills the first block of 320 KB, and another the second."""
    rows = [{"cell": cell, "long": "x" * 200_000} for cell in (first, True, True)]
    assert loaded(tmp_path / "data", lines(*rows)) == rows


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_a_column_may_hold_values_of_any_two_kinds(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(json_for_datasets, "BATCH", batch)
    rows = [{f"{n}": pair[row > 1] for n, pair in enumerate(product(KINDS, KINDS))} for row in range(4)]
    assert all(map(same, loaded(tmp_path / "data", lines(*rows)), rows))


@fuzzed
def test_rows_are_those_of_the_json_module(tmp_path, examples):
    rows = st.lists(st.fixed_dictionaries({"a": values}, optional={"b": values, "c": values}), min_size=1, max_size=5)

    def check(rows):
        content = lines(*rows)
        found, expected = loaded(tmp_path / "data", content), [json.loads(line) for line in content.splitlines()]
        assert len(found) == len(expected)
        for row, wanted in zip(found, expected, strict=True):
            assert same({name: row[name] for name in wanted}, wanted)
            assert all(cell is None for name, cell in row.items() if name not in wanted)

    holds(examples, check, rows=rows)


def test_arrays_and_compressed_files(tmp_path):
    rows = [{"text": "2020-01-01", "more": [None, "x"]}, {"text": "2020-01-02", "more": ["y"]}]
    assert loaded(tmp_path / "a", json.dumps(rows, indent=1).encode(), "train.json") == rows
    assert loaded(tmp_path / "b", gzip.compress(lines(*rows)), "train.jsonl.gz") == rows


def test_one_cell_that_is_no_text_leaves_the_others_as_they_are(tmp_path):
    rows = [{"text": text, "label": label} for label, text in enumerate(["one", 5, "null", "3"])]
    (tmp_path / "train.jsonl").write_bytes(lines(*rows))
    settings = corpus("mteb", task="Banking77Classification").model_copy(update={"max_rejected": 1.0})
    pairs, _, audit = normalised("own", settings, tmp_path)
    assert texts(pairs, "query", "positive") == [("one", "0"), ("3", "3")]
    assert audit["examples"] == {"query is not text": ["train:2"], "query is a printed null, null": ["train:3"]}


def test_what_datasets_kept_of_its_own_reading_is_not_taken(tmp_path):
    rows = [{"text": "one"}, {"text": 5}]
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_bytes(lines(*rows))
    theirs = datasets.load_dataset(str(tmp_path / "data"))["train"].with_format("arrow")
    assert theirs[:]["text"].to_pylist() == ['"one"', "5"]
    with read_by_rows():
        assert [*_decoded(datasets.load_dataset(str(tmp_path / "data"))["train"])] == rows


def test_ids_may_be_numbers_and_texts(tmp_path):
    rows = [{"_id": 1, "corpus-id": "a"}, {"_id": "b", "corpus-id": 2}, {"_id": None, "corpus-id": "3"}]
    expected = [{"_id": "1", "corpus-id": "a"}, {"_id": "b", "corpus-id": "2"}, {"_id": None, "corpus-id": "3"}]
    assert loaded(tmp_path / "data", lines(*rows)) == expected


def test_declared_columns_are_those_of_the_card(tmp_path):
    card = """---
dataset_info:
  features: [{name: text, dtype: string}, {name: score, dtype: float32}, {name: more, dtype: string}]
---
"""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "README.md").write_text(card)
    found = loaded(folder, lines({"text": "a", "score": 1}, {"text": "b", "score": 2}))
    assert found == [{"text": "a", "score": 1.0, "more": None}, {"text": "b", "score": 2.0, "more": None}]
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as told:
        loaded(folder, lines({"text": "a", "score": 1}, {"text": 5, "score": 2}))
    assert "got a 'int' object" in str(told.value.__cause__)


def test_what_is_not_an_object_of_json_is_refused_with_its_place(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(lines({"text": "a", "label": 1}) + b'{"text": "b"\n')
    place = r"train\.jsonl: row 2 is not a JSON object; fix or remove it"
    with pytest.raises(AscentError, match=place):
        normalised("own", corpus("mteb", task="Banking77Classification"), tmp_path)
