"""Model selection: what a development split scores, which weights are kept, and when training ends."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from ascent.encoder import Encoder
from ascent.pairs import Pair
from ascent.training.development import ndcg


def test_ndcg_is_scikit_learns():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(20, 30))
    relevant = draw.random((20, 30)) < 0.15
    relevant[:, 0] |= ~relevant.any(1)
    assert ndcg(scores, relevant) == pytest.approx(ndcg_score(relevant, scores, k=10))


@pytest.fixture(scope="module")
def held_out(corpus_rows, training_rows, tokens_of):
    """60 pairs of other queries than those that are trained on."""
    known = {row.query for row in training_rows}
    fresh = list({row["query"]: row for row in corpus_rows if row["query"] not in known}.values())[:60]
    return [Pair(row["query"], row["positive"]) for row in fresh]


def of(folder) -> tuple[list[dict], dict[int, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return lines, {line["step"]: line["development"] for line in lines if "development" in line}


@pytest.mark.parametrize("changes", [{}, {"adapter": {"type": "lora"}, "zero": 2, "seed": 1}])
def test_the_best_weights_are_kept(trained, held_out, tokens_of, tmp_path, changes):
    """The score is that of the exported model's embeddings, and the last step is scored even if none is due."""
    development = {"data": "held", "every_steps": 3}
    done = trained("run", more={"held": tokens_of(held_out)}, development=development, learning_rate=2e-2, **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    _lines, scores = of(tmp_path / "run")
    assert sorted(scores) == [3, 6, 9, 12, 15, 18, 20]
    best = max(scores, key=lambda step: (scores[step], -step))
    assert f"kept the weights after step {best}" in done.stdout
    assert len(set(scores.values())) > 1
    encoder = Encoder(tmp_path / "run" / "model", precision="float32")
    queries = encoder.encode([row.query for row in held_out], side="query", task="retrieval")
    texts = list(dict.fromkeys(row.positive for row in held_out))
    documents = encoder.encode(texts, side="document", task="retrieval")
    relevant = np.array([[text == row.positive for text in texts] for row in held_out])
    assert ndcg_score(relevant, queries @ documents.T, k=10) == pytest.approx(scores[best], abs=2e-2)
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


def test_graded_pairs_are_scored_by_their_order(trained, held_out, tokens_of, tmp_path):
    draw = np.random.default_rng(0)
    graded = [Pair(row.query, row.positive, label=float(draw.random())) for row in held_out]
    done = trained("run", more={"held": tokens_of(graded)}, development={"data": "held"}, precision="float32")
    assert done.returncode == 0, done.stdout + done.stderr
    _, scores = of(tmp_path / "run")
    encoder = Encoder(tmp_path / "run" / "model", precision="float32")
    queries = encoder.encode([row.query for row in graded], side="query", task="retrieval")
    documents = encoder.encode([row.positive for row in graded], side="document", task="retrieval")
    expected = spearmanr((queries * documents).sum(1), [row.label for row in graded]).statistic
    assert scores[20] == pytest.approx(expected, abs=1e-6)


def test_training_ends_when_nothing_gets_better(trained, held_out, tokens_of, tmp_path):
    development = {"data": "held", "every_steps": 1, "patience": 2}
    done = trained("run", more={"held": tokens_of(held_out)}, development=development, learning_rate=1e-9)
    assert done.returncode == 0, done.stdout + done.stderr
    lines, _scores = of(tmp_path / "run")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "ended after step 3: 2 scores in a row were no better than the best" in done.stdout
    assert "kept the weights after step 1" in done.stdout


def test_a_query_that_is_trained_on_is_refused(trained, training_rows, tokens_of):
    done = trained("run", more={"held": tokens_of(training_rows[:5])}, development={"data": "held"})
    assert done.returncode == 1
    assert "5 of the development split's queries are trained on; take another split" in done.stdout + done.stderr


def test_a_prefix_longer_than_the_embedding_is_refused(trained):
    done = trained("run", matryoshka={16: 1, 64: 1})
    assert done.returncode == 1
    assert (
        "recipe r, stages.s.matryoshka: 64 is more than the 32 dimensions that the model has; lower it."
        in done.stdout + done.stderr
    )
