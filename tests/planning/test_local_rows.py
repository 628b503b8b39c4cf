"""What a plan reads of files that no job has read yet."""

import csv
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from ascent.planning import local_rows
from ascent.planning.local_rows import can_be_read, read_local
from ascent.settings.corpora import Corpus

ROWS = {"train": 6_000, "validation": 900}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(local_rows, "MOST", 100_000)
    monkeypatch.setattr(local_rows, "LEAST", 6_000)


def texts(split: str) -> list[tuple[str, str]]:
    """Rows whose lengths are as mixed at the beginning as at the end."""
    return [
        (f"{split} query {row}", f"the answer, {row}:\n" + "word " * (row * 7919 % 23) + '"quoted"')
        for row in range(ROWS[split])
    ]


def write(folder: Path, split: str, form: str) -> Path:
    path, rows = folder / f"{split}{form}", texts(split)
    if form == ".parquet":
        pl.DataFrame(rows, schema=["query", "positive"], orient="row").write_parquet(path, row_group_size=1_000)
    elif form == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("query", "positive"), *rows])
    else:
        with pa.output_stream(path, compression="detect") as file:
            for query, positive in rows:
                file.write(json.dumps({"query": query, "positive": positive}).encode() + b"\n")
    return path


def corpus_of(files: dict[str, list[str]], **reader) -> Corpus:
    return Corpus(
        source={"type": "files", "paths": ["."]}, reader={"type": "table", "pairs": files} | reader,
        language="eng-Latn", licence="MIT",
    )  # fmt: skip


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_the_beginning_of_large_files_tells_how_many_rows_there_are(form, tmp_path):
    files = {path.name: path for path in (write(tmp_path, split, form) for split in ROWS)}
    corpus = corpus_of({split: [f"{split}{form}"] for split in ROWS})
    assert can_be_read(corpus.reader, files)
    for split, rows in ROWS.items():
        found = read_local("x", corpus, split, files, None)
        assert len(found.pairs) * found.times == pytest.approx(rows, rel=0.15)
        size = files[f"{split}{form}"].stat().st_size
        assert found.times == pytest.approx(max(1, size / 100_000), rel=0.15)
        expected = [(query, " ".join(positive.split())) for query, positive in texts(split)][: len(found.pairs)]
        read = [(query, " ".join(positive.split())) for query, positive in found.pairs["query", "positive"].rows()]
        assert read == expected
        assert set(found.pairs["split"]) == {split}
        assert len(found.documents) == len({positive for _, positive in expected})


def test_of_many_files_each_gives_its_share(tmp_path):
    """Ten files that are whole, since they are small, and one of which a part is read."""
    files = {}
    for number in range(10):
        line = json.dumps({"query": f"small {number}", "positive": f"answer {number}"}) + "\n"
        files[f"{number}.jsonl"] = tmp_path / f"{number}.jsonl"
        files[f"{number}.jsonl"].write_text(line)
    files["train.jsonl"] = write(tmp_path, "train", ".jsonl")
    found = read_local("x", corpus_of({"train": ["*.jsonl"]}), "train", files, None)
    assert found.pairs["query"].str.starts_with("small").sum() == 10
    assert len(found.pairs) * found.times == pytest.approx(6_010, rel=0.05)


def test_what_cannot_be_cut_is_read_if_it_is_small(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"query": query, "positive": positive} for query, positive in texts("train")]))
    corpus = corpus_of({"train": ["train.json"]})
    assert not can_be_read(corpus.reader, {path.name: path})
    path.write_text(
        json.dumps([{"query": query, "positive": positive} for query, positive in texts("validation")[:100]])
    )
    assert can_be_read(corpus.reader, {path.name: path})
    found = read_local("x", corpus, "train", {path.name: path}, None)
    assert (len(found.pairs), found.times) == (100, 1.0)


def test_documents_count_with_their_own_files(tmp_path):
    lines = "".join(json.dumps({"text": f"document {row} " + "word " * 20}) + "\n" for row in range(2_000))
    (tmp_path / "documents.jsonl").write_text(lines)
    files = {
        "documents.jsonl": tmp_path / "documents.jsonl",
        "validation.jsonl": write(tmp_path, "validation", ".jsonl"),
    }
    corpus = corpus_of({"train": ["validation.jsonl"]}, documents={"test": ["documents.jsonl"]})
    found = read_local("x", corpus, "test", files, None)
    assert found.pairs.is_empty()
    assert len(found.documents) * found.times == pytest.approx(2_000, rel=0.02)
