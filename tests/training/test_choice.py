"""Weights of a merge chosen on a development split: the scores are those of the merged folders, and the best are
chosen."""

from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import ndcg_score

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.model.saving import save_like
from ascent.pairs.table import Pair
from ascent.settings.stages import StageSettings
from ascent.settings.validation import check
from ascent.tokens.table import TokenisedPairs
from ascent.training.choice import choose_weights, greedy, grid
from ascent.training.development import Split
from ascent.training.merging import merge


@pytest.fixture(scope="module")
def parents(tiny_model, training_contract, tmp_path_factory):
    """A model, and two that lie ever further from it."""
    folder, state = tmp_path_factory.mktemp("parents"), load_file(tiny_model / "model.safetensors")
    draw = torch.Generator().manual_seed(1)
    for index, far in enumerate((0, 0.2, 0.4)):
        changed = {
            name: t + far * t.std(correction=0) * torch.randn(t.shape, generator=draw) for name, t in state.items()
        }
        (folder / f"s{index}").mkdir()
        save_like(tiny_model, changed, training_contract, {}, folder / f"s{index}")
    return [folder / f"s{index}" for index in range(3)]


@pytest.fixture(scope="module")
def held(corpus_rows):
    """30 pairs of distinct queries."""
    distinct = list({row["query"]: row for row in corpus_rows}.values())[:30]
    return [Pair(row["query"], row["positive"]) for row in distinct]


@pytest.fixture(scope="module")
def split(held, tokens_of):
    return Split(TokenisedPairs(tokens_of(held)), [])


def settings(contract, count: int, **more) -> StageSettings:
    stage = {"type": "linear", "from": [f"s{i}" for i in range(count)], "development": {"data": "held"}} | more
    values = {
        "recipe": "r",
        "name": "merge",
        "stage": stage,
        "contract": contract.model_dump(),
        "tasks": {"held": "retrieval"},
    }
    return check(StageSettings, values, "x")


@pytest.fixture(scope="module")
def score_of(parents, held, training_contract, tmp_path_factory):
    """A mixture's score by another way: a folder that is written and loaded, and scikit-learn's nDCG."""

    def _score_of(weights, kind="linear") -> float:
        folder = tmp_path_factory.mktemp("mixture") / "model"
        merge(settings(training_contract, len(weights), type=kind), parents[: len(weights)], folder, weights)
        encoder = Encoder(folder, precision="float32")
        queries = encoder.encode([row.query for row in held], side="query", task="retrieval")
        texts = list(dict.fromkeys(row.positive for row in held))
        documents = encoder.encode(texts, side="document", task="retrieval")
        relevant = np.array([[text == row.positive for text in texts] for row in held])
        return ndcg_score(relevant, queries @ documents.T, k=10)

    return _score_of


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "slerp"])
def test_the_best_point_of_the_grid_is_chosen(parents, split, score_of, training_contract, kind):
    asked = settings(training_contract, 2, type=kind, weights="grid", development={"data": "held", "divisions": 4})
    found = choose_weights(asked, parents[:2], split)
    tried = {tuple(one["weights"]): one["score"] for one in found["tried"]}
    assert set(tried) == {(part / 4, 1 - part / 4) for part in range(5)}
    for weights, score in tried.items():
        assert score == pytest.approx(score_of(weights, kind), abs=1e-6)
    assert found["score"] == max(tried.values()) == tried[tuple(found["chosen"].values())]
    assert found["parents"] == {"s0": tried[1, 0], "s1": tried[0, 1]}
    assert (found["stage"], found["dataset"], found["metric"]) == ("merge", "held", "ndcg_at_10")


@pytest.mark.slow
def test_the_greedy_soup_is_wortsman_s(parents, split, score_of, training_contract):
    """Recipe 1 of the paper, on the other way's scores."""
    found = choose_weights(settings(training_contract, 3, weights="greedy"), parents, split)
    single = [score_of(np.eye(3)[model].tolist()) for model in range(3)]
    soup = []
    for model in sorted(range(3), key=lambda model: -single[model]):
        with_it, without = (
            [float(m in part) / len(part) for m in range(3)] for part in ([*soup, model], soup or [model])
        )
        soup += [model] if not soup or score_of(with_it) >= score_of(without) else []
    assert list(found["chosen"].values()) == [float(model in soup) / len(soup) for model in range(3)]
    assert found["score"] >= max(found["parents"].values())


def test_given_weights_are_scored_beside_their_parents(parents, split, score_of, training_contract):
    found = choose_weights(settings(training_contract, 2, weights=[1, 3]), parents[:2], split)
    assert found["chosen"] == {"s0": 0.25, "s1": 0.75}
    assert len(found["tried"]) == 3
    assert found["score"] == pytest.approx(score_of([0.25, 0.75]), abs=1e-6)


def test_a_model_that_lowers_the_score_is_left_out_and_one_that_does_not_is_kept():
    worth = (0.2, 0.7, 0.7, 0.1)

    def score(weights) -> float:
        return sum(weight * value for weight, value in zip(weights, worth, strict=True))

    assert greedy(score, worth) == [0, 0.5, 0.5, 0]
    assert greedy(lambda weights: 1.0, (1.0, 1.0, 1.0)) == [1 / 3] * 3


@pytest.mark.parametrize(("count", "divisions"), [(2, 10), (3, 4), (4, 3)])
def test_the_grid_is_every_way_to_deal_the_parts_the_most_even_first(count, divisions):
    points = grid(count, divisions)
    every = {
        tuple(part / divisions for part in some)
        for some in product(range(divisions + 1), repeat=count)
        if sum(some) == divisions
    }
    assert {tuple(point) for point in points} == every and len(points) == len(every)
    unevenness = [sum(part**2 for part in point) for point in points]
    assert unevenness == sorted(unevenness)


def test_queries_that_a_parent_was_trained_on_are_refused(held, training_rows, tokens_of):
    known = {row.query for row in training_rows}
    shared = sum(row.query in known for row in held)
    assert shared
    with pytest.raises(AscentError, match=f"{shared} of the development split's queries are trained on"):
        Split(TokenisedPairs(tokens_of(held)), [TokenisedPairs(tokens_of(training_rows))])
