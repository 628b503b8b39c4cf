"""Model selection: what a development split scores, which weights are kept, and when training ends."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.pairs.table import Pair
from ascent.tokens.table import TokenisedPairs
from ascent.training import development
from ascent.training.development import Split


@pytest.mark.parametrize("documents", [30, 7])
@pytest.mark.parametrize("scores_at_once", [2**26, 100, 1])
def test_ndcg_is_scikit_learns(monkeypatch, documents, scores_at_once):
    """In one block of queries, in some, and query by query; with more and with fewer documents than are ranked."""
    monkeypatch.setattr(development, "SCORES", scores_at_once)
    draw = np.random.default_rng(0)
    sides = draw.normal(size=(20, 8)), draw.normal(size=(documents, 8))
    relevant = draw.random((20, documents)) < 0.4  # some have more than ten
    relevant[:, 0] |= ~relevant.any(1)
    found = development.ndcg(*map(torch.from_numpy, sides), *np.nonzero(relevant))
    assert found == pytest.approx(ndcg_score(relevant, sides[0] @ sides[1].T, k=10))


def test_a_document_that_is_the_query_itself_is_not_ranked_unless_it_is_its_answer(tokens_of, monkeypatch):
    rows = [Pair("a", "b"), Pair("b", "a"), Pair("c", "c"), Pair("d", "e"), Pair("e", "d")]
    table = TokenisedPairs(tokens_of(rows))
    split = Split(table, [])
    draw = np.random.default_rng(0)
    vectors = {text: draw.standard_normal(6) for text in "abcde"}
    texts = [
        *dict.fromkeys(row.query for row in rows),
        *dict.fromkeys(row.positive for row in rows),
    ]  # in the table's order
    monkeypatch.setattr(development, "SCORES", 7)
    embeddings = torch.from_numpy(np.array([vectors[text] for text in texts]))
    expected = []
    for row in rows:
        ranked = [text for text in "abcde" if text != row.query or text == row.positive]
        scores = [[vectors[row.query] @ vectors[text] for text in ranked]]
        expected.append(ndcg_score([[text == row.positive for text in ranked]], scores, k=10))
    assert split.score(embeddings) == pytest.approx(np.mean(expected))


@pytest.fixture(scope="module")
def held_out(corpus_rows, training_rows, tokens_of):
    """60 pairs of other queries than those that are trained on."""
    known = {row.query for row in training_rows}
    fresh = list({row["query"]: row for row in corpus_rows if row["query"] not in known}.values())[:60]
    return [Pair(row["query"], row["positive"]) for row in fresh]


@pytest.fixture
def selected(train_here, tiny_model, training_contract, tokens_of):
    """Train twenty steps with a development split; return the lines of the metrics, and the scores by step."""

    def _selected(held: list[Pair], learning_rate: float = 1e-3, **changes) -> tuple[list[dict], dict[int, float]]:
        more, changes = {"held": tokens_of(held)}, {"epochs": 5, "learning_rate": learning_rate} | changes
        lines = train_here(tiny_model, training_contract, more=more, **changes)
        return lines, {line["step"]: line["development"] for line in lines if "development" in line}

    return _selected


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"adapter": {"type": "lora"}, "zero": 2, "seed": 1}])
def test_the_best_weights_are_kept(selected, held_out, tmp_path, capsys, changes):
    """The score is that of the exported model's embeddings, and the last step is scored even if none is due."""
    development = {"data": "held", "every_steps": 3}
    _, scores = selected(held_out, 2e-2, development=development, **changes)
    assert sorted(scores) == [3, 6, 9, 12, 15, 18, 20]
    best = max(scores, key=lambda step: (scores[step], -step))
    printed = capsys.readouterr().out
    assert f"kept the weights of step {best}" in printed
    assert "attention: rows packed, without padding; one product per length" in printed
    assert "up to 16,384 tokens at a time on each of 1 processes" in printed
    assert len(set(scores.values())) > 1
    encoder = Encoder(tmp_path / "run" / "model", precision="float32")
    queries = encoder.encode([row.query for row in held_out], side="query", task="retrieval")
    texts = list(dict.fromkeys(row.positive for row in held_out))
    documents = encoder.encode(texts, side="document", task="retrieval")
    relevant = np.array([[text == row.positive for text in texts] for row in held_out])
    assert ndcg_score(relevant, queries @ documents.T, k=10) == pytest.approx(scores[best], abs=2e-2)
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


@pytest.mark.slow
def test_graded_pairs_are_scored_by_their_order(selected, held_out, tmp_path):
    draw = np.random.default_rng(0)
    graded = [Pair(row.query, row.positive, label=float(draw.random())) for row in held_out]
    _, scores = selected(graded, development={"data": "held"}, precision="float32")
    encoder = Encoder(tmp_path / "run" / "model", precision="float32")
    queries = encoder.encode([row.query for row in graded], side="query", task="retrieval")
    documents = encoder.encode([row.positive for row in graded], side="document", task="retrieval")
    expected = spearmanr((queries * documents).sum(1), [row.label for row in graded]).statistic
    assert scores[20] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_training_ends_when_nothing_gets_better(selected, held_out, capsys):
    lines, _ = selected(held_out, 1e-9, development={"data": "held", "every_steps": 1, "patience": 2})
    assert [line["step"] for line in lines] == [1, 2, 3]
    printed = capsys.readouterr().out
    assert "stopped after step 3: 2 consecutive scores did not improve on the best" in printed
    assert "kept the weights of step 1" in printed


def test_a_query_that_is_trained_on_is_refused(selected, training_rows):
    with pytest.raises(AscentError, match="5 of the development split's queries are trained on; use another split"):
        selected(training_rows[:5], development={"data": "held"})


def test_a_prefix_longer_than_the_embedding_is_refused(train_here, tiny_model, training_contract):
    message = r"^recipe r, stages\.s\.matryoshka: 64 is larger than the model's 32 dimensions; lower it\.$"
    with pytest.raises(AscentError, match=message):
        train_here(tiny_model, training_contract, matryoshka={16: 1, 64: 1})


def test_graded_pairs_of_one_label_are_refused(selected, held_out):
    graded = [Pair(row.query, row.positive, label=1.0) for row in held_out]
    with pytest.raises(AscentError, match="the development split's labels are all equal"):
        selected(graded, development={"data": "held"})
