"""Tasks that mteb knows, read from local data of the form that their hub's data sets have."""

import json
from pathlib import Path

import datasets
import huggingface_hub
import mteb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ascent.errors import AscentError
from ascent.settings.corpora import Corpus
from ascent.settings.sources import MtebTask
from ascent.settings.validation import check
from ascent.sources import retrieve
from support.corpora import corpus, texts
from support.pairs import normalised


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def lines(path: Path, *rows: dict):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(folder: Path, task: str, **settings):
    return normalised("own", corpus("mteb", task=task, **settings), folder)


def test_classification(tmp_path):
    lines(
        tmp_path / "train.jsonl",
        {"text": "my card is lost", "label": 41, "label_text": "lost"},
        {"text": " ", "label": 1},
    )
    lines(tmp_path / "test.jsonl", {"text": "where is my card", "label": 11, "label_text": "arrival"})
    pairs, _, audit = read(tmp_path, "Banking77Classification", splits_of={"train": "train", "test": "test"})
    assert texts(pairs, "query", "positive", "task", "split") == [
        ("my card is lost", "41", "classification", "train"),
        ("where is my card", "11", "classification", "test"),
    ]
    assert audit["examples"] == {"no query": ["train:2"]}
    assert texts(read(tmp_path, "Banking77Classification", classes="label_text")[0], "positive") == [("lost",)]


CARD = """---
configs:
- config_name: default
  data_files: [{split: train, path: qrels/train.jsonl}, {split: test, path: qrels/test.jsonl}]
- config_name: corpus
  data_files: [{split: corpus, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: queries, path: queries.jsonl}]
---
"""


def scifact(folder: Path):
    (folder / "README.md").write_text(CARD)
    lines(
        folder / "corpus.jsonl",
        {"_id": "1", "title": "Iron", "text": "It rusts."},
        {"_id": "2", "title": "", "text": "Tin melts."},
    )
    lines(folder / "queries.jsonl", {"_id": "a", "text": "iron rusts"}, {"_id": "b", "text": "tin melts"})
    judged = [{"query-id": "a", "corpus-id": "1", "score": 1}, {"query-id": "a", "corpus-id": "2", "score": 0}]
    lines(folder / "qrels" / "train.jsonl", *judged, {"query-id": "a", "corpus-id": "9", "score": 1})
    lines(folder / "qrels" / "test.jsonl", {"query-id": "b", "corpus-id": "2", "score": 2})


def test_retrieval(tmp_path):
    scifact(tmp_path)
    pairs, documents, audit = read(tmp_path, "SciFact", splits_of={"train": "train", "test": "test"})
    assert texts(pairs, "query", "positive", "negatives", "label", "split", "task") == [
        ("iron rusts", "Iron It rusts.", ["Tin melts."], None, "train", "retrieval"),
        ("tin melts", "Tin melts.", [], 2, "test", "retrieval"),
    ]
    pool = {("Iron It rusts.", "train"), ("Tin melts.", "train"), ("Iron It rusts.", "test"), ("Tin melts.", "test")}
    assert set(texts(documents, "text", "split")) == pool
    assert audit["set_aside"] == {"no document has its id, and a text": 1}


def test_graded_pairs_and_older_forms(tmp_path):
    """Of PairClassification and Clustering, whose rows were lists once."""
    lines(
        tmp_path / "sts/train.jsonl",
        {"sentence1": "it rains", "sentence2": "rain falls", "score": 4.5, "genre": "news"},
    )
    pairs = read(tmp_path / "sts", "STSBenchmark")[0]
    assert texts(pairs, "query", "positive", "label", "task") == [("it rains", "rain falls", 4.5, "sts")]
    row = {"sent1": ["a b", "c"], "sent2": ["a c", "d"], "labels": [1, 0]}
    lines(tmp_path / "pair/train.jsonl", row)
    pairs = read(tmp_path / "pair", "SprintDuplicateQuestions")[0]
    expected = [("a b", "a c", 1, "pair-classification"), ("c", "d", 0, "pair-classification")]
    assert texts(pairs, "query", "positive", "label", "task") == expected
    broken = {"sentences": ["a"], "labels": ["x", "y"]}
    lines(tmp_path / "cluster/test.jsonl", {"sentences": ["tin", "rain"], "labels": ["metal", "weather"]}, broken)
    pairs, _, audit = read(tmp_path / "cluster", "TwentyNewsgroupsClustering", splits_of={"train": "test"})
    assert texts(pairs, "query", "positive", "task") == [
        ("tin", "metal", "classification"),
        ("rain", "weather", "classification"),
    ]
    assert audit["set_aside"] == {"lists of other lengths than sentences": 1}


def test_a_row_that_is_not_utf_8_is_set_aside(tmp_path):
    """In JSON, where a list may hold it, and in parquet, where `datasets` itself stops."""
    good = {"sent1": ["a b"], "sent2": ["a c"], "labels": [1]}
    lines(tmp_path / "json/train.jsonl", good, good | {"sent1": ["a X"]}, good | {"sent1": ["d e"]})
    path = tmp_path / "json/train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"X", b"\xff"))
    settings = corpus("mteb", task="SprintDuplicateQuestions").model_copy(update={"max_rejected": 1.0})
    pairs, _, audit = normalised("own", settings, tmp_path / "json")
    assert texts(pairs, "query", "positive") == [("a b", "a c"), ("d e", "a c")]
    assert audit["examples"] == {"query is not valid UTF-8": ["train:2"]}
    (tmp_path / "parquet").mkdir()
    cells = pa.array([b"a b", b"a \xff"]).view(pa.string())
    pq.write_table(pa.table({"text": cells, "label": [0, 1]}), tmp_path / "parquet/train.parquet")
    settings = corpus("mteb", task="Banking77Classification").model_copy(update={"max_rejected": 1.0})
    pairs, _, audit = normalised("own", settings, tmp_path / "parquet")
    assert texts(pairs, "query", "positive") == [("a b", "0")]
    assert audit["examples"] == {"not valid UTF-8": ["train:2"]}


def test_what_mteb_does_not_have_is_refused(tmp_path):
    lines(tmp_path / "test.jsonl", {"text": "a", "label": 1})
    with pytest.raises(AscentError, match="Banking77Classification has no split 'train', but test; fix `splits_of`"):
        read(tmp_path, "Banking77Classification")
    with pytest.raises(AscentError, match=r"mteb cannot load SciFact from it \(.*source: \{type: mteb_task\}"):
        read(tmp_path, "SciFact")
    with pytest.raises(AscentError, match="write Banking77Classification"):
        corpus("mteb", task="Banking77Clasification")
    with pytest.raises(AscentError, match="a task of InstructionReranking has no pairs of texts"):
        corpus("mteb", task="Core17InstructionRetrieval")


def test_a_corpus_says_that_it_is_the_task_s_data_set():
    source = {"type": "mteb_task", "task": "SciFact"}
    values = {
        "source": source,
        "reader": {"type": "mteb", "task": "SciFact"},
        "licence": "cc-by-4.0",
        "language": "eng-Latn",
    }
    with pytest.raises(AscentError, match=r"its rows are those of mteb's SciFact, which `mteb_tasks` lacks: add it"):
        check(Corpus, values, "the.yaml")
    check(Corpus, values | {"mteb_tasks": ["SciFact"]}, "the.yaml")


def test_the_source_asks_the_hub_for_what_mteb_pins(tmp_path, monkeypatch):
    """All up to the download itself, which needs a hub."""
    asked = {}

    def snapshot_download(id, revision, local_dir, **options):
        asked.update(id=id, revision=revision, kind=options["repo_type"])
        scifact(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    retrieve(MtebTask(type="mteb_task", task="SciFact"), tmp_path / "got", "corpora", tmp_path / "cache")
    pinned = mteb.get_task("SciFact").metadata.dataset
    assert asked == {"id": pinned["path"], "revision": pinned["revision"], "kind": "dataset"}
    assert texts(read(tmp_path / "got", "SciFact")[0], "query") == [("iron rusts",)]
