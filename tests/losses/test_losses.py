"""InfoNCE against sentence-transformers' own loss, against a double loop in float64, and its gradient by
differences."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    AnglELoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    GlobalOrthogonalRegularizationLoss,
    TripletDistanceMetric,
    TripletLoss,
)

from ascent.losses import Embedded
from ascent.losses.angle import angle
from ascent.losses.circle import circle
from ascent.losses.cosent import cosent
from ascent.losses.cosine import cosine
from ascent.losses.distill_kl import distill_kl
from ascent.losses.embedding_mse import embedding_mse
from ascent.losses.infonce import infonce
from ascent.losses.margin_mse import margin_mse
from ascent.losses.spread_out import spread_out
from ascent.losses.triplet import triplet
from ascent.settings.base import components
from ascent.settings.contrastive import Contrastive
from ascent.settings.losses import Loss
from ascent.settings.model import Contract
from ascent.training.objective import load_objectives, mixed
from support import gradient_cases, reference_losses
from support.loss_batches import ROWS, TEMPERATURE, TERMS, batch_of, embeddings

pytestmark = pytest.mark.usefixtures("tiles")


def test_some_rows_of_a_batch_are_those_rows_with_their_documents():
    batch = batch_of(embeddings(4, 1), embeddings(10, 2), row_of_document=torch.tensor([0, 1, 2, 3, 3, 1, 0, 3, 1, 3]))
    part = batch.select(torch.tensor([False, True, False, True]))
    assert part.document_ids.tolist() == [1, 3, 3 + 1, 5, 7, 8, 9]
    assert part.row_of_document.tolist() == [0, 1, 1, 0, 1, 0, 1]
    assert torch.equal(part.positives, batch.documents[[1, 3]])


def test_cosine_is_sentence_transformers_loss():
    queries, documents = embeddings(ROWS, 1) * 3, embeddings(ROWS, 2)
    labels = torch.rand(ROWS, generator=torch.Generator().manual_seed(0))
    theirs = CosineSimilarityLoss(torch.nn.Identity())
    expected = theirs.compute_loss_from_embeddings([queries, documents], labels)
    assert float(cosine(batch_of(queries, documents, labels=labels)).mean()) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(("loss", "theirs"), [(cosent, CoSENTLoss), (angle, AnglELoss)])
@pytest.mark.parametrize("dimension", [4, 5])
@pytest.mark.parametrize("labels", [[0.1, 0.5, 0.5, 0.9, 0.2, 0.5], [1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0]])
def test_ranking_is_sentence_transformers_loss(loss, theirs, dimension, labels):
    queries, documents = embeddings(ROWS, 1)[:, :dimension], embeddings(ROWS, 2)[:, :dimension] * 2
    labels = torch.tensor(labels, dtype=torch.float32)
    expected = theirs(torch.nn.Identity(), scale=7.0).compute_loss_from_embeddings([queries, documents], labels)
    assert float(loss(batch_of(queries, documents, labels=labels), scale=7.0).mean()) == pytest.approx(
        float(expected), abs=1e-5
    )


@pytest.mark.parametrize(("distance", "theirs"), [("euclidean", "EUCLIDEAN"), ("cosine", "COSINE")])
def test_triplet_is_sentence_transformers_loss(distance, theirs):
    sides = [embeddings(ROWS, seed) * 2 for seed in (1, 2, 3)]
    theirs = TripletLoss(torch.nn.Identity(), getattr(TripletDistanceMetric, theirs), triplet_margin=0.4)
    ours = triplet(batch_of(sides[0], torch.cat(sides[1:])), margin=0.4, distance=distance)
    assert float(ours.mean()) == pytest.approx(float(theirs.compute_loss_from_embeddings(sides, None)), abs=1e-5)
    assert 0 < int((ours == 0).sum()) < ROWS  # the margin is kept by some


def test_spread_out_is_sentence_transformers_loss():
    queries, documents = embeddings(ROWS, 1) * 2, embeddings(ROWS, 2)
    theirs = GlobalOrthogonalRegularizationLoss(torch.nn.Identity()).compute_loss_from_embeddings([queries, documents])
    ours = spread_out(batch_of(queries, documents))
    assert ours.shape == (ROWS,)
    assert float(ours.mean()) == pytest.approx(float(sum(theirs.values())), abs=1e-5)


def test_a_positive_of_several_rows_is_spread_out_from_others_only():
    """Copies of a text cannot be."""
    queries, texts, rows = embeddings(6, 1), embeddings(3, 2), torch.tensor([2, 0, 1, 0, 2, 2])

    def spread(side: torch.Tensor) -> float:
        return float(spread_out(batch_of(side, side))[0])

    batch = replace(batch_of(queries, texts[rows]), document_ids=rows)
    assert float(spread_out(batch)[0]) == pytest.approx((spread(queries) + spread(texts)) / 2, abs=1e-6)


# Row 1's negative is a known answer, to row 5 too; row 3, alone in its group, has two negatives; rows 0, 4 and 5 have
# none.
OWNERS = [0, 1, 2, 3, 4, 5, 1, 2, 3, 3]


LOSSES = {
    "cosent": (cosent, {"scale": 20.0}),
    "angle": (angle, {"scale": 20.0}),
    "triplet": (triplet, {"margin": 1.0, "distance": "euclidean"}),
    "infonce, all terms": (infonce, {"temperature": 0.2, "terms": TERMS}),
    "infonce, Qwen3": (infonce, {"temperature": 0.2, "terms": TERMS[::2], "false_negative_margin": 0.1}),
    "infonce, both ways, margin": (infonce, {"temperature": 0.2, "symmetric": True, "false_negative_margin": 0.3}),
    "infonce, debiased": (infonce, {"temperature": 0.5, "tau_plus": 0.3}),
    "infonce, focal": (infonce, {"temperature": 0.2, "terms": TERMS[1:], "focal_gamma": 0.5}),
    "infonce, all": (infonce, {"temperature": 0.5, "symmetric": True, "tau_plus": 0.1, "focal_gamma": 2.0}),
    "infonce, mixing": (infonce, {"temperature": 0.2, "mixing": {"pairwise": 3, "listwise": True, "seed": 5}}),
    "circle": (circle, {"gamma": 8.0, "margin": 0.4}),
    "spread_out": (spread_out, {}),
    "margin_mse": (margin_mse, {"scale": 3.0}),
    "embedding_mse": (embedding_mse, {}),
    "distill_kl": (distill_kl, {"temperature": 0.3, "teacher_temperature": 2.0}),
    "triplet by cosine": (triplet, {"margin": 0.5, "distance": "cosine"}),
}


def test_every_loss_is_compared_with_its_formula():
    """cosine above, with that of sentence-transformers; m3 in model/test_token_outputs.py."""
    assert {loss.__name__ for loss, _ in LOSSES.values()} | {"cosine", "m3"} == components(Loss).keys()
    assert {name for name, _ in gradient_cases.LOSSES.values()} | {"cosine"} == components(Loss).keys()


def ragged(queries: torch.Tensor, documents: torch.Tensor) -> Embedded:
    """A batch with 0 to 2 negatives a row, a known answer among them, of two data sets."""
    return batch_of(
        queries,
        documents,
        [10, 11, 12, 13, 14, 15, 99, 17, 18, 19],
        [[10, -1], [11, 99], [12, -1], [13, -1], [14, -1], [15, 99]],
        row_of_document=torch.tensor(OWNERS),
        groups=torch.tensor([0, 0, 0, 4, 0, 0]),
        labels=torch.tensor([0.1, 0.7, 0.7, 0.2, 0.9, 0.4], dtype=torch.float64),
        dataset_index=torch.tensor([3, 1, 3, 1, 3, 1]),
        teacher_scores=torch.tensor([4.0, 2.0, -1.0, 3.0, 9.0, 0.5, -2.0, 1.5, 5.0, -3.0], dtype=torch.float64),
        teacher_queries=embeddings(ROWS, 3, torch.float64),
        teacher_documents=embeddings(len(OWNERS), 4, torch.float64),
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula_and_its_gradient_that_of_finite_differences(name):
    loss, settings = LOSSES[name]
    sides = embeddings(ROWS, 1, torch.float64), embeddings(len(OWNERS), 2, torch.float64)
    weights = torch.rand(ROWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for side in sides:
        side.requires_grad_()
    found, expected = (
        function(ragged(*sides), **settings) for function in (loss, getattr(reference_losses, loss.__name__))
    )
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    gradients = [torch.autograd.grad(losses @ weights, sides) for losses in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=0)
    if loss is not circle:  # whose weights pass no gradient on
        assert torch.autograd.gradcheck(lambda *sides: loss(ragged(*sides), **settings) @ weights, sides)


@pytest.mark.parametrize("name", LOSSES)
def test_a_share_without_rows_has_no_loss(name):
    loss, settings = LOSSES[name]
    sides = embeddings(ROWS, 1).requires_grad_(), embeddings(len(OWNERS), 2).requires_grad_()
    none = loss(ragged(*sides).select(torch.zeros(ROWS, dtype=torch.bool)), **settings)
    assert none.shape == (0,)
    assert not torch.autograd.grad(none.sum(), sides[0])[0].any()


def test_rows_of_several_losses_do_not_meet():
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(ROWS + 3, 2, torch.float64)
    sources = torch.tensor([0, 1, 0, 2, 1, 0])
    batch = batch_of(queries, documents, dataset_index=sources, labels=torch.rand(ROWS, dtype=torch.float64))
    contrast = partial(infonce, temperature=TEMPERATURE, symmetric=False)
    losses = mixed([cosine, contrast], [1, 0, 1])(batch)
    graded = sources == 1
    torch.testing.assert_close(losses[graded], cosine(batch.select(graded)))
    torch.testing.assert_close(losses[~graded], contrast(batch.select(~graded)))


def test_rows_of_balanced_data_sets_do_not_meet():
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(ROWS + 3, 2, torch.float64)
    sources = torch.tensor([0, 1, 0, 2, 1, 0])
    batch = batch_of(queries, documents, dataset_index=sources)
    stage = Contrastive(objective={"infonce": {"temperature": TEMPERATURE}}, data=["a", "b", "c"], batching="balanced")
    losses = load_objectives(stage, Contract())(batch)
    for source in range(3):
        alone = infonce(batch.select(sources == source), temperature=TEMPERATURE)
        torch.testing.assert_close(losses[sources == source], alone)
    assert (losses < infonce(batch, temperature=TEMPERATURE)).all()


def test_losses_are_summed_with_their_weights_over_the_stages_sizes():
    labels = torch.rand(ROWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = batch_of(embeddings(ROWS, 1, torch.float64), embeddings(ROWS, 2, torch.float64), labels=labels)
    sizes, both = {3: 0.5}, {"infonce": {"temperature": 0.2, "weight": 0.25}, "cosine": {"weight": 3}}
    stage = Contrastive(objective=both, data=["a", "b"], matryoshka=sizes)
    cut = replace(
        batch, queries=batch.queries[:, :3], documents=batch.documents[:, :3]
    )  # a cosine is the same at any length
    expected = 3 * (cosine(batch) + 0.5 * cosine(cut))
    expected += 0.25 * infonce(batch, temperature=0.2, symmetric=False, sizes=sizes)
    torch.testing.assert_close(load_objectives(stage, Contract())(batch), expected)
