"""Losses that learn from a teacher: margin_mse, distill_kl, embedding_mse."""

import math
from dataclasses import replace

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    MarginMSELoss,
    MSELoss,
)

from ascent.losses import matryoshka
from ascent.losses.distill_kl import distill_kl
from ascent.losses.embedding_mse import embedding_mse
from ascent.losses.margin_mse import margin_mse
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.training.objective import load_objectives
from support import reference_losses
from support.loss_batches import ROWS, batch_of, embeddings

pytestmark = pytest.mark.usefixtures("tiles")


@pytest.mark.parametrize("negatives", [1, 3])
def test_learning_a_teacher_s_scores_is_sentence_transformers_loss(negatives):
    sides = [embeddings(ROWS, seed) * 2 for seed in range(2 + negatives)]
    scores = torch.randn(ROWS, 1 + negatives, generator=torch.Generator().manual_seed(0)) * 3
    batch = batch_of(sides[0], torch.cat(sides[1:]), teacher_scores=scores.T.flatten())
    expected = MarginMSELoss(torch.nn.Identity()).compute_loss_from_embeddings(sides, scores)
    assert float(margin_mse(batch, scale=1.0).mean()) == pytest.approx(float(expected), abs=1e-5)
    temperatures = {"student_temperature": 0.5, "teacher_temperature": 2.0}
    expected = DistillKLDivLoss(torch.nn.Identity(), **temperatures).compute_loss_from_embeddings(sides, scores)
    ours = distill_kl(batch, temperature=0.5, teacher_temperature=2.0)
    assert float(ours.mean()) == pytest.approx(float(expected), abs=1e-5)


def test_a_teacher_s_scores_are_learned_at_every_size():
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(2 * ROWS, 2, torch.float64)
    batch = batch_of(queries, documents, teacher_scores=embeddings(2 * ROWS, 3, torch.float64)[:, 0])
    stage = {"data": ["a"], "teacher": {"model": "t", "type": "cross-encoder"}, "matryoshka": {3: 0.5}}
    found = load_objectives(Contrastive(objective={"margin_mse": {"scale": 2}}, **stage), Contract())(batch)
    cut = [torch.nn.functional.normalize(side[:, :3], dim=1) for side in (queries, documents)]
    short = replace(batch, queries=cut[0], documents=cut[1])
    torch.testing.assert_close(
        found, reference_losses.margin_mse(batch, 2.0) + 0.5 * reference_losses.margin_mse(short, 2.0)
    )


@pytest.mark.parametrize("negatives", [0, 2])
def test_learning_a_teacher_s_embeddings_is_sentence_transformers_loss(negatives):
    sides, taught = ([embeddings(ROWS, seed) for seed in range(first, first + 2 + negatives)] for first in (0, 9))
    expected = MSELoss(torch.nn.Identity()).compute_loss_from_embeddings(sides, taught)
    more = {"teacher_queries": taught[0], "teacher_documents": torch.cat(taught[1:])}
    batch = batch_of(sides[0], torch.cat(sides[1:]), **more)
    assert float(embedding_mse(batch).mean()) == pytest.approx(float(expected), abs=1e-6)
    assert float(expected) > 0.1
    # Of a prefix the teacher's is learned.
    cut = [[torch.nn.functional.normalize(side[:, :3], dim=1) for side in all_] for all_ in (sides, taught)]
    expected += 0.5 * MSELoss(torch.nn.Identity()).compute_loss_from_embeddings(*cut)
    found = matryoshka(embedding_mse, {3: 0.5}, True)(batch)
    assert float(found.mean()) == pytest.approx(float(expected), abs=1e-6)


def test_a_low_temperature_leaves_a_divergence_finite():
    queries, documents = embeddings(ROWS, 1).requires_grad_(), embeddings(2 * ROWS, 2)
    batch = batch_of(queries, documents, teacher_scores=torch.linspace(-30, 30, 2 * ROWS))
    loss = distill_kl(batch, temperature=1e-3, teacher_temperature=0.05).sum()
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(queries.grad.isfinite().all())
