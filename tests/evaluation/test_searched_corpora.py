"""A retrieval task that searches the documents of other corpora, too."""

import json
import shutil

import mteb
import numpy as np
import pytest
from safetensors.torch import load_file

from ascent.errors import AscentError
from ascent.evaluation.local_tasks import Tables
from ascent.evaluation.run import evaluate_task
from ascent.evaluation.tasks import make_task
from ascent.evaluation.units import read_units
from ascent.model.encoder import Encoder
from ascent.model.saving import save_like
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.pairs.text import text_id
from ascent.release.parity import open_as_mteb
from ascent.settings.evaluation import TaskSettings
from ascent.settings.model import Contract
from ascent.settings.validation import check
from support.insurance import ANSWERS, OTHERS, QUESTIONS

# Each shares a text with the task's own documents or its answers; one holds a query, and both hold one text.
POOLS = {
    "wiki": ["car", "health policy", "the plan of a home", ANSWERS[2], QUESTIONS[1], "what is a claim"],
    "news": ["a car claim", "pay the claim", "life insurance", OTHERS[0], "car", "how much is health insurance"],
}
OWN = [*ANSWERS, *OTHERS]


def write(path, *texts, split="test"):
    own = [Document(text, split) for text in texts]
    write_documents(path, document_frame([*own, Document("of another split", "train")]))
    return path


@pytest.fixture(scope="module")
def searched(tiny_model, tmp_path_factory):
    """A model with prompts, and the tables of a task that searches two corpora, of two parts and of one."""
    folder = tmp_path_factory.mktemp("searched")
    contract = Contract(max_tokens=32, prompts={"query": {"retrieval": "find: "}, "document": {"default": "found: "}})
    weights = load_file(tiny_model / "model.safetensors")
    save_like(tiny_model, weights, contract, {}, folder / "model")
    rows = [Pair(*pair, split="test") for pair in zip(QUESTIONS, ANSWERS, strict=True)]
    rows += [Pair(QUESTIONS[1], OTHERS[4], label=2.0, split="test"), Pair("do i pay", "do i pay", split="test")]
    write_pairs(folder / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    pools = {
        "wiki": [write(folder / f"wiki-{part}.parquet", *POOLS["wiki"][part::2]) for part in range(2)],
        "news": [write(folder / "news.parquet", *POOLS["news"])],
    }
    tables = Tables(folder / "pairs.parquet", write(folder / "documents.parquet", *OWN), pools, folder)
    return folder, rows, tables


def settings(**options):
    task = {"type": "retrieval", "corpus": "toy", "documents": ["wiki", "news"]} | options
    return check(TaskSettings, {"name": "Toy", "task": task}, "toy.yaml")


def evaluated(searched, **options):
    folder, _, tables = searched
    files = {"pairs": tables.pairs, "documents": tables.documents, "pools": tables.pools}
    output = {"output": folder / "Toy.json", "units": folder / "Toy.units.parquet"}
    evaluate_task(settings(**options), folder / "model", recipe="toy", stage="base", **files, **output)
    found = json.loads(output["output"].read_text())
    table = read_units(output["units"]).table
    units = dict(zip(table["unit"].to_pylist(), table["score"].to_pylist(), strict=True))
    return found, found["scores"]["test"][0], units


@pytest.mark.parametrize("rank_by", [{}, {"dense": 2.0}], ids=["mteb", "by scores"])
def test_scores_are_those_of_brute_force_over_all_documents(searched, rank_by):
    """In float64: each text once, no query itself unless it is its answer, an answer wherever it stands."""
    folder, rows, _ = searched
    _, entry, units = evaluated(searched, rank_by=rank_by)
    texts = list(dict.fromkeys([*OWN, *POOLS["wiki"], *POOLS["news"]]))
    assert entry["documents_searched"] == len(texts) == 18
    encoder, queries = Encoder(folder / "model", precision="float32"), list(dict.fromkeys(row.query for row in rows))
    asked = encoder.encode(queries, side="query", task="retrieval").astype(np.float64)
    documents = encoder.encode(texts, side="document", task="retrieval").astype(np.float64)
    for query, scores in zip(queries, asked @ documents.T, strict=True):
        grades = {row.positive: int(row.label or 1) for row in rows if row.query == query}
        ranked = [texts[place] for place in np.argsort(-scores)]
        ranked = [text for text in ranked if text != query or query in grades][:10]
        gain = sum(grades.get(text, 0) / np.log2(2 + rank) for rank, text in enumerate(ranked))
        ideal = sum(grade / np.log2(2 + rank) for rank, grade in enumerate(sorted(grades.values(), reverse=True)))
        name = text_id(query) + "-itself" * (query in grades)
        assert units[name] == pytest.approx(gain / ideal, abs=1e-6)
    assert entry["main_score"] == pytest.approx(np.mean(list(units.values())), abs=1e-5)


def test_mteb_s_wrapper_of_the_folder_scores_the_same(searched, tmp_path):
    folder, _, tables = searched
    _, entry, _ = evaluated(searched)
    encoder = Encoder(folder / "model", precision="float32")
    task = make_task(settings(), Tables(tables.pairs, tables.documents, tables.pools, tmp_path))
    options = {"co2_tracker": False, "cache": None, "encode_kwargs": {"batch_size": 4}}
    theirs = mteb.evaluate(open_as_mteb(folder / "model", encoder), task, **options).task_results[0]
    other = theirs.scores["test"][0]
    for metric in ("main_score", "documents_searched", "map_at_10", "recall_at_3", "mrr_at_10"):
        assert entry[metric] == pytest.approx(other[metric], abs=1e-5)


def test_what_other_corpora_add_is_seen(searched, tmp_path):
    """The result's revision is that of all documents, and its name says whose they are."""
    _, _, tables = searched
    both, entry, _ = evaluated(searched)
    own = Tables(tables.pairs, tables.documents, folder=tmp_path)
    alone = make_task(settings(documents=[]), own)
    assert len(alone.dataset["default"]["test"]["corpus"]) == len(OWN) < entry["documents_searched"]
    assert both["dataset_revision"] != alone.metadata.dataset["revision"]
    named = make_task(settings(), Tables(tables.pairs, tables.documents, tables.pools, tmp_path)).metadata
    assert named.description.endswith("of the corpus toy, with the documents of wiki, news")
    assert both["dataset_revision"] == named.dataset["revision"]


def test_documents_are_on_disk_and_nothing_of_them_is_left(searched, tmp_path):
    _, _, tables = searched
    task = make_task(settings(), Tables(tables.pairs, tables.documents, tables.pools, tmp_path))
    corpus = task.dataset["default"]["test"]["corpus"]
    assert [file["filename"] for file in corpus.cache_files] == [str(tmp_path / "documents.arrow")]
    assert corpus["id"][:] == sorted(text_id(text) for text in {*OWN, *POOLS["wiki"], *POOLS["news"]})
    folder = searched[0]
    before = {path.name for path in folder.iterdir()} - {"Toy.json", "Toy.units.parquet"}
    evaluated(searched)
    assert {path.name for path in folder.iterdir()} - {"Toy.json", "Toy.units.parquet"} == before


def test_a_corpus_without_documents_of_the_split_and_a_damaged_one_are_refused(searched, tmp_path):
    _, _, tables = searched
    wiki = write(tmp_path / "w.parquet", "a", split="train")
    empty = Tables(tables.pairs, tables.documents, {"wiki": wiki}, tmp_path)
    message = r"w.parquet: the corpus wiki has no documents in the split 'test' to search in; remove it from the task's"
    with pytest.raises(AscentError, match=message):
        make_task(settings(), empty)
    damaged = tmp_path / "d.parquet"
    shutil.copy(tables.documents, damaged)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(AscentError, match="d.parquet: not a complete parquet file"):
        make_task(settings(), Tables(tables.pairs, tables.documents, {"wiki": damaged}, tmp_path))
