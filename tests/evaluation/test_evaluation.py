"""Local tasks, the model as mteb sees it, and the units behind each score."""

import json
from dataclasses import replace

import mteb
import numpy as np
import polars as pl
import pytest
from datasets import Dataset
from mteb.mocks import mock_tasks
from safetensors.torch import load_file
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from ascent.errors import AscentError
from ascent.evaluation.local_tasks import Tables
from ascent.evaluation.model import EvaluatedModel
from ascent.evaluation.mteb_names import units_of
from ascent.evaluation.run import evaluate_task
from ascent.evaluation.statistics import main_score
from ascent.evaluation.tasks import make_task
from ascent.evaluation.units import read_units
from ascent.model.encoder import Encoder
from ascent.model.saving import save_like
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.base import components
from ascent.settings.evaluation import LocalTask, TaskSettings
from ascent.settings.model import Contract
from ascent.settings.validation import check
from support.insurance import ANSWERS, OTHERS, QUESTIONS

LABELS = ["life", "car", "home", "health"]


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """The tiny model with a prompt for the queries of retrieval, and for nothing else."""
    contract = Contract(max_tokens=32, prompts={"query": {"default": "", "retrieval": "find the answer: "}})
    folder = tmp_path_factory.mktemp("prompted") / "model"
    save_like(tiny_model, load_file(tiny_model / "model.safetensors"), contract, {}, folder)
    return folder


@pytest.fixture
def corpus(tmp_path):
    rows = []
    for i, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        rows.append(Pair(question, answer, tuple(OTHERS[i : i + 3]), split="test"))
        rows.append(Pair(question, LABELS[i % 2], task="classification", split="test"))
        rows.append(Pair(question, answer, label=[1.0, 3.0, 4.5, 2.0][i], task="sts", split="test"))
    rows.append(Pair(QUESTIONS[0], OTHERS[4], tuple(OTHERS[:2]), split="test"))
    rows += [Pair(text, LABELS[i % 2], task="classification", split="train") for i, text in enumerate(ANSWERS + OTHERS)]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    write_documents(
        tmp_path / "documents.parquet",
        document_frame([Document(text, split) for split in ("test", "validation") for text in ANSWERS + OTHERS]),
    )
    return tmp_path


def settings(kind, name="Toy", **options):
    return check(TaskSettings, {"name": name, "task": {"type": kind, "corpus": "toy"} | options}, "toy.yaml")


def run(corpus, model, kind, **options):
    files = {"pairs": corpus / "pairs.parquet", "documents": corpus / "documents.parquet"}
    output = {"output": corpus / "Toy.json", "units": corpus / "Toy.units.parquet"}
    evaluate_task(settings(kind, **options), model, recipe="toy", stage="base", **files, **output)
    entry = json.loads(output["output"].read_text())["scores"]["test"][0]
    return entry, read_units(output["units"])


def test_retrieval_is_scored_over_the_whole_pool_with_the_query_prompt(corpus, model):
    entry, units = run(corpus, model, "retrieval")
    encoder = Encoder(model, precision="float32")
    documents = ANSWERS + OTHERS
    scores = (
        encoder.encode(QUESTIONS, side="query", task="retrieval")
        @ encoder.encode(documents, side="document", task="retrieval").T
    )
    relevant = [{i} | ({8} if i == 0 else set()) for i in range(len(QUESTIONS))]
    for question, row, wanted in zip(QUESTIONS, scores, relevant, strict=True):
        ranks = [rank for rank, place in enumerate(np.argsort(-row)) if place in wanted]
        ideal = sum(1 / np.log2(2 + rank) for rank in range(len(wanted)))
        expected = sum(1 / np.log2(2 + rank) for rank in ranks) / ideal
        table = pl.from_arrow(units.table)
        assert table.filter(unit=text_id(question))["score"][0] == pytest.approx(expected)
    assert main_score(units) == pytest.approx(entry["main_score"], abs=1e-5) == pytest.approx(entry["ndcg_at_10"])
    identity = (units.recipe, units.stage, units.task, units.type, units.metric)
    assert identity == ("toy", "base", "Toy", "Retrieval", "ndcg_at_10")


@pytest.mark.parametrize("kind", ["retrieval", "reranking"])
def test_a_query_does_not_rank_itself_unless_it_is_its_answer(corpus, model, kind):
    """Duplicate questions in both directions, as Quora has them, against brute force."""
    rows = [Pair(*pair, split="test") for pair in zip(QUESTIONS, [*QUESTIONS[1::-1], *QUESTIONS[:1:-1]], strict=True)]
    rows.append(Pair(OTHERS[0], OTHERS[0], split="test"))
    texts = [*QUESTIONS, *OTHERS]
    rows = [replace(row, negatives=tuple(text for text in texts if text != row.positive)) for row in rows]
    write_pairs(corpus / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    write_documents(corpus / "documents.parquet", document_frame(Document(text, "test") for text in texts))
    entry, units = run(corpus, model, kind)
    scores = dict(zip(units.table["unit"].to_pylist(), units.table["score"].to_pylist(), strict=True))
    encoder = Encoder(model)
    documents = encoder.encode(texts, side="document", task=kind)
    for row in rows:
        (query,) = encoder.encode([row.query], side="query", task=kind)
        ranked = [texts[place] for place in np.argsort(-documents @ query)]
        ranked = [text for text in ranked if text != row.query or text == row.positive]
        rank = ranked.index(row.positive)
        expected = 1 / np.log2(2 + rank) if kind == "retrieval" else 1 / (1 + rank)
        itself = "-itself" if row.query == row.positive else ""
        assert scores[text_id(row.query) + itself] == pytest.approx(expected)
    assert main_score(units) == pytest.approx(entry["main_score"], abs=1e-5)


def test_only_retrieval_takes_the_prompt_of_retrieval(model):
    encoder = Encoder(model, precision="float32")
    found = {task: encoder.encode(QUESTIONS, side="query", task=task) for task in ("retrieval", "sts")}
    assert np.abs(found["retrieval"] - found["sts"]).max() > 1e-3


def test_reranking_ranks_positives_among_the_negatives_only(corpus, model):
    task = make_task(settings("reranking"), Tables(corpus / "pairs.parquet"))
    data = task.dataset["default"]["test"]
    first = text_id(QUESTIONS[0])
    expected = {ANSWERS[0], OTHERS[4], *OTHERS[:3]}
    assert set(data["top_ranked"][first]) == {text_id(text) for text in expected}
    assert set(data["relevant_docs"][first]) == {text_id(ANSWERS[0]), text_id(OTHERS[4])}
    entry, units = run(corpus, model, "reranking")
    assert main_score(units) == pytest.approx(entry["map_at_1000"], abs=1e-5)


def observed(task, model, corpus, monkeypatch):
    """Evaluate a task object of mteb; return mteb's main score and the units, which evaluate_task has compared."""
    monkeypatch.setattr("ascent.evaluation.run.make_task", lambda *_: task)
    output = {"output": corpus / "Toy.json", "units": corpus / "Toy.units.parquet"}
    evaluate_task(settings("reranking"), model, recipe="toy", stage="base", **output)
    return json.loads(output["output"].read_text())["scores"]["test"][0]["main_score"], read_units(output["units"])


def test_reciprocal_ranks_are_units(corpus, model, monkeypatch):
    task = make_task(settings("reranking"), Tables(corpus / "pairs.parquet"))
    ranked = task.dataset["default"]["test"]["top_ranked"]
    task.metadata = task.metadata.model_copy(update={"main_score": "mrr_at_10"})
    score, units = observed(task, model, corpus, monkeypatch)
    encoder = Encoder(model)
    for question, answers in zip(QUESTIONS, ([ANSWERS[0], OTHERS[4]], *([text] for text in ANSWERS[1:])), strict=True):
        documents = [text for text in ANSWERS + OTHERS if text_id(text) in ranked[text_id(question)]]
        query = encoder.encode([question], side="query", task="reranking")
        scores = (encoder.encode(documents, side="document", task="reranking") @ query.T).ravel()
        best = min(1 + sum(scores > scores[documents.index(answer)]) for answer in answers)
        row = pl.from_arrow(units.table).filter(unit=text_id(question))
        assert row["score"][0] == pytest.approx(1 / best)
    assert main_score(units) == pytest.approx(score)


def test_a_query_that_mteb_cuts_is_one_unit(corpus, model, monkeypatch):
    """MindSmallReranking, with our texts: a document's score is the best of its query's parts, whose mean AP is
    taken."""
    data = make_task(settings("reranking"), Tables(corpus / "pairs.parquet")).dataset["default"]["test"]
    names = ["first_0", "first_1", "second_0", "second_1"]
    documents = data["corpus"]["id"]
    relevant = {name: {documents[0 if name < "s" else 1]: 1, documents[5]: 1} for name in names}
    data |= {
        "queries": Dataset.from_dict({"id": names, "text": QUESTIONS}),
        "relevant_docs": relevant,
        "top_ranked": {name: list(documents) for name in names},
    }
    task = mteb.get_task("MindSmallReranking")
    task.dataset, task.data_loaded = {"default": {"test": data}}, True
    score, units = observed(task, model, corpus, monkeypatch)
    encoder = Encoder(model)
    similarities = (
        encoder.encode(QUESTIONS, side="query", task="reranking")
        @ encoder.encode(data["corpus"]["text"], side="document", task="reranking").T
    )
    expected = [
        average_precision_score([i in (first, 5) for i in range(len(documents))], similarities[parts].max(0))
        for first, parts in ((0, slice(2)), (1, slice(2, 4)))
    ]
    assert units.table["unit"].to_pylist() == ["first", "second"]
    assert units.table["score"].to_pylist() == pytest.approx(expected)
    assert main_score(units) == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    ("mock", "metric"),
    [
        ("MockMultilabelClassification", "accuracy"),
        ("MockBitextMiningTask", "f1"),
        ("MockMultilingualBitextMiningTask", "f1"),
        ("MockBitextMiningTask", "accuracy"),
    ],
)
def test_other_means_of_mteb_have_units(corpus, model, monkeypatch, mock, metric):
    """evaluate_task fails where their mean is not mteb's score."""
    task = getattr(mock_tasks, mock)()
    task.metadata = task.metadata.model_copy(update={"main_score": metric})
    task.load_data()
    _, units = observed(task, model, corpus, monkeypatch)
    assert units.table.num_rows > 1
    assert len({text for texts in units.table["texts"].to_pylist() for text in texts}) > 1


def test_bitext_units_are_sklearns_f1():
    task = mock_tasks.MockBitextMiningTask()
    task.metadata = task.metadata.model_copy(update={"main_score": "f1"})
    task.dataset = {"test": Dataset.from_dict({"sentence1": ["a", "b", "c", "d"], "sentence2": ["w", "x", "y", "z"]})}
    matched = [0, 0, 2, 1]
    matches = {"sentence1-sentence2": [{"corpus_id": i, "score": 0.5} for i in matched]}
    found = list(units_of("BitextMining").units(task, matches, "test", "default"))
    assert [score for _, score, _, _ in found] == pytest.approx(f1_score(range(4), matched, average=None).tolist())
    assert found[0][3] == [text_id("a"), text_id("w")]


def test_classification_units_are_shares_of_correct_classifiers(corpus, model):
    entry, units = run(corpus, model, "classification")
    shares = units.table["score"].to_numpy() * 10  # mteb's ten experiments
    assert np.allclose(shares, shares.round())
    assert units.table["score"].to_numpy().mean() == pytest.approx(entry["accuracy"], abs=1e-6)


def test_sts_is_spearman_of_similarities_and_labels(corpus, model):
    entry, units = run(corpus, model, "sts")
    encoder = Encoder(model, precision="float32")
    left, right = (encoder.encode(texts, side="query", task="sts") for texts in (QUESTIONS, ANSWERS))
    expected = stats.spearmanr((left * right).sum(axis=1), [1.0, 3.0, 4.5, 2.0])[0]
    assert entry["main_score"] == pytest.approx(expected, abs=1e-6)
    assert main_score(units) == pytest.approx(expected, abs=1e-6)


def test_clustering_has_a_score_and_no_units(corpus, model):
    entry, units = run(corpus, model, "clustering")
    assert 0 <= entry["v_measure"] <= 1
    assert units.table.num_rows == 0


@pytest.mark.parametrize("kind", components(LocalTask))
def test_two_runs_give_the_same_scores(corpus, model, kind):
    first, first_units = run(corpus, model, kind)
    second, second_units = run(corpus, model, kind)
    assert repr(first) == repr(second)  # repr: NaN is unequal to itself
    assert first_units.table.equals(second_units.table)


def test_only_the_first_queries(corpus, model):
    _, units = run(corpus, model, "retrieval", queries=2)
    assert units.table["unit"].to_pylist() == sorted(text_id(question) for question in QUESTIONS)[:2]


def test_model_is_named_and_revised(model):
    encoder = Encoder(model, precision="float32")
    meta = EvaluatedModel(encoder, "ascent/toy-base").mteb_model_meta
    assert (meta.name, meta.revision) == ("ascent/toy-base", encoder.digest[:40])
    assert (meta.embed_dim, meta.max_tokens, meta.similarity_fn_name.value) == (32, 32, "cosine")


@pytest.mark.slow
def test_unknown_task_offers_the_nearest(corpus):
    with pytest.raises(AscentError, match=r"mteb has no task 'SciFcat'; did you mean 'SciFact'\?"):
        make_task(check(TaskSettings, {"name": "SciFcat"}, "task.yaml"))


def test_positive_outside_the_pool_is_refused(corpus):
    write_documents(corpus / "documents.parquet", document_frame([Document(text, "test") for text in ANSWERS]))
    with pytest.raises(AscentError, match=r"documents.parquet: lacks the document .* add it to the documents"):
        make_task(settings("retrieval"), Tables(corpus / "pairs.parquet", corpus / "documents.parquet", folder=corpus))


def test_split_without_rows_is_refused(corpus):
    with pytest.raises(AscentError, match=r"pairs.parquet: has no rows for sts in the split 'validation'"):
        make_task(settings("sts", split="validation"), Tables(corpus / "pairs.parquet"))


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        ("clustering", [("a", "x"), ("b", "x")], "all 2 texts have the label 'x', so the score means nothing"),
        ("clustering", [("a", "x"), ("b", "y")], "each text has a label of its own, so the score means nothing"),
        ("classification", [("a", "x"), ("b", "x")], "all 2 texts have the label 'x', so the score means nothing"),
    ],
)
def test_labels_that_say_nothing_are_refused(tmp_path, kind, rows, message):
    pairs = [Pair(*row, task="classification", split=split) for row in rows for split in ("train", "test")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(pairs, "toy", "eng-Latn"))
    with pytest.raises(AscentError, match=message):
        make_task(settings(kind), Tables(tmp_path / "pairs.parquet"))


@pytest.mark.parametrize("kind", ["retrieval", "reranking"])
def test_a_pool_of_answers_only_is_refused(tmp_path, kind):
    # The negative is another row's positive.
    pairs = [Pair("a", "x", ("y",), split="test"), Pair("a", "y", ("x",), split="test")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(pairs, "toy", "eng-Latn"))
    write_documents(tmp_path / "documents.parquet", document_frame([Document(text, "test") for text in "xy"]))
    with pytest.raises(
        AscentError, match="toy: every document that a query ranks is an answer to it, so any model scores 1"
    ):
        make_task(settings(kind), Tables(tmp_path / "pairs.parquet", tmp_path / "documents.parquet", folder=tmp_path))


def test_sts_row_without_label_is_refused(corpus):
    rows = [Pair("a", "b", task="sts", split="test"), Pair("a", "c", label=1.0, task="sts", split="test")]
    write_pairs(corpus / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    with pytest.raises(AscentError, match=r"pairs.parquet: the pair of the query 'a' has no label"):
        make_task(settings("sts"), Tables(corpus / "pairs.parquet"))


def test_nan_score_is_refused_and_leaves_nothing(corpus, model):
    # The same two texts in every pair: all similarities are equal, and no correlation is defined.
    rows = [Pair("what is", "whole life", label=float(i), task="sts", split="test") for i in range(3)]
    write_pairs(corpus / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    with pytest.raises(AscentError, match=r"Toy: mteb's main score cosine_spearman is NaN for ascent/toy-base"):
        run(corpus, model, "sts")
    assert not (corpus / "Toy.json").exists()
    assert not (corpus / "Toy.units.parquet").exists()
