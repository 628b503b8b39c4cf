"""InfoNCE against sentence-transformers' own loss, against a double loop in float64, and its gradient by differences."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    AnglELoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    DistillKLDivLoss,
    GlobalOrthogonalRegularizationLoss,
    MarginMSELoss,
    MSELoss,
    MultipleNegativesRankingLoss,
    MultipleNegativesSymmetricRankingLoss,
    TripletDistanceMetric,
    TripletLoss,
)

from ascent.losses import Embedded, matryoshka, ring
from ascent.losses.angle import angle
from ascent.losses.circle import circle
from ascent.losses.cosent import cosent
from ascent.losses.cosine import cosine
from ascent.losses.distill_kl import distill_kl
from ascent.losses.embedding_mse import embedding_mse
from ascent.losses.infonce import infonce
from ascent.losses.margin_mse import margin_mse
from ascent.losses.ring import excluded_columns
from ascent.losses.spread_out import spread_out
from ascent.losses.triplet import triplet
from ascent.settings.base import components
from ascent.settings.contrastive import Contrastive
from ascent.settings.losses import Loss
from ascent.settings.model import Contract
from ascent.training.objective import load_objectives, mixed
from support import gradient_cases, reference_losses

ROWS, DIMENSION, TEMPERATURE = 6, 5, 0.1


@pytest.fixture(autouse=True, params=[4096, 4], ids=["one tile", "tiles of 4"])
def _tile(request, monkeypatch):
    """Every property holds whether the scores are computed at once or in tiles, the last of them smaller."""
    monkeypatch.setattr(ring, "TILE", request.param)


def embeddings(rows: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, DIMENSION, generator=draw, dtype=dtype), dim=-1)


def batch_of(queries: torch.Tensor, documents: torch.Tensor, document_ids=None, answers=None, **more) -> Embedded:
    """A batch whose first documents are the positives; all texts differ unless ids are given, and the rows share the rest."""
    ids = torch.arange(len(documents)) if document_ids is None else torch.tensor(document_ids)
    parts = {
        "row_of_document": torch.arange(len(documents)) % len(queries),
        "groups": torch.zeros(len(queries), dtype=torch.int64),
        "labels": torch.full((len(queries),), torch.nan),
        "dataset_index": torch.zeros(len(queries), dtype=torch.int64),
        "answers": ids[: len(queries), None] if answers is None else torch.tensor(answers),
        "numbers": torch.arange(len(queries)),
        "weights": torch.ones(len(queries)),
    }
    return Embedded(queries=queries, documents=documents, document_ids=ids, **parts | more)


def loss_of(batch: Embedded, symmetric: bool = False, **more) -> torch.Tensor:
    return infonce(batch, temperature=TEMPERATURE, symmetric=symmetric, **more).sum()


@pytest.mark.parametrize("negatives", [0, 1, 3])
def test_it_is_sentence_transformers_loss(negatives):
    queries, documents = embeddings(ROWS, 1), [embeddings(ROWS, 2 + i) for i in range(1 + negatives)]
    theirs = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE)
    expected = theirs.compute_loss_from_embeddings([queries, *documents], None)
    ours = loss_of(batch_of(queries, torch.cat(documents))) / ROWS
    assert float(ours) == pytest.approx(float(expected), abs=1e-5)


def test_symmetric_is_sentence_transformers_symmetric_loss():
    queries, documents = embeddings(ROWS, 1), embeddings(ROWS, 2)
    theirs = MultipleNegativesSymmetricRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE)
    expected = theirs.compute_loss_from_embeddings([queries, documents], None)
    ours = loss_of(batch_of(queries, documents), symmetric=True) / ROWS
    assert float(ours) == pytest.approx(float(expected), abs=1e-5)


# Rows 0 and 3 ask the same; rows 1 and 4 share a positive; row 2's negative (document 8) is row 4's positive too, row 5's
# negative (document 9) is its own positive, and row 1's negative (document 7) is the other answer to row 0's query.
DOCUMENT_IDS = [10, 11, 12, 13, 11, 15, 16, 13, 11, 15]
ANSWERS = [[10, 13], [11, -1], [12, -1], [10, 13], [11, -1], [15, 99]]  # 99 is an answer that is not in the batch


def by_double_loop(queries, documents, symmetric: bool) -> float:
    """The definition in words: a row's positive against every text that is not a known answer to its query."""

    def score(q: int, d: int) -> float:
        return sum(a * b for a, b in zip(queries[q].tolist(), documents[d].tolist(), strict=True)) / TEMPERATURE

    total = 0.0
    for row, answers in enumerate(ANSWERS):
        columns = [d for d, text in enumerate(DOCUMENT_IDS) if text not in answers]
        forward = math.log(math.exp(score(row, row)) + sum(math.exp(score(row, d)) for d in columns)) - score(row, row)
        if symmetric:
            others = [q for q, known in enumerate(ANSWERS) if DOCUMENT_IDS[row] not in known]
            back = math.log(math.exp(score(row, row)) + sum(math.exp(score(q, row)) for q in others)) - score(row, row)
            forward = (forward + back) / 2
        total += forward
    return total


@pytest.mark.parametrize("symmetric", [False, True])
def test_known_answers_are_no_negatives(symmetric):
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(len(DOCUMENT_IDS), 2, torch.float64)
    queries[3] = queries[0]
    for copy, original in ((4, 1), (7, 3), (8, 1), (9, 5)):
        documents[copy] = documents[original]
    expected = by_double_loop(queries, documents, symmetric)
    ours = loss_of(batch_of(queries, documents, DOCUMENT_IDS, ANSWERS), symmetric)
    assert float(ours) == pytest.approx(expected, abs=1e-10)
    # The same batch with every text taken as new has more negatives, so a higher loss.
    assert float(loss_of(batch_of(queries, documents), symmetric)) > expected + 0.01


def test_a_row_of_the_only_question_has_no_loss():
    """Nothing is left to be told apart from the positive when every other text is an answer too."""
    queries, documents = embeddings(2, 1), embeddings(2, 2)
    batch = batch_of(queries[[0, 0]].requires_grad_(), documents, answers=[[0, 1], [0, 1]])
    for settings in ({}, {"tau_plus": 0.1}, {"focal_gamma": 0.5}):
        loss = loss_of(batch, symmetric=True, **settings)
        assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
        assert not torch.autograd.grad(loss, batch.queries)[0].any()


@pytest.mark.parametrize("symmetric", [False, True])
def test_rows_compete_within_their_group(symmetric):
    """Two groups in a batch are two batches."""
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(ROWS + 4, 2, torch.float64)
    groups = torch.tensor([0, 3, 0, 0, 3, 0])
    batch = batch_of(queries, documents, groups=groups)
    both = infonce(batch, temperature=TEMPERATURE, symmetric=symmetric)
    for group in (0, 3):
        alone = batch.select(groups == group)
        # Symmetric is for rows with in-batch negatives, which are group 0.
        expected = infonce(
            replace(alone, groups=torch.zeros_like(alone.groups)), temperature=TEMPERATURE, symmetric=symmetric and group == 0
        )
        torch.testing.assert_close(both[groups == group], expected, atol=1e-12, rtol=0)


def test_some_rows_of_a_batch_are_those_rows_with_their_documents():
    batch = batch_of(embeddings(4, 1), embeddings(10, 2), row_of_document=torch.tensor([0, 1, 2, 3, 3, 1, 0, 3, 1, 3]))
    part = batch.select(torch.tensor([False, True, False, True]))
    assert part.document_ids.tolist() == [1, 3, 3 + 1, 5, 7, 8, 9]
    assert part.row_of_document.tolist() == [0, 1, 1, 0, 1, 0, 1]
    assert torch.equal(part.positives, batch.documents[[1, 3]])


def test_matryoshka_is_sentence_transformers_loss():
    queries, documents = embeddings(ROWS, 1), [embeddings(ROWS, 2), embeddings(ROWS, 3)]
    sizes = {5: 1.0, 3: 0.5, 2: 2.0}
    shrunk = 0.0
    for size, weight in sizes.items():
        inner = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE)
        cut = [torch.nn.functional.normalize(side[:, :size], dim=-1) for side in (queries, *documents)]
        shrunk += weight * float(inner.compute_loss_from_embeddings(cut, None))
    batch = batch_of(queries, torch.cat(documents))
    one_pass = loss_of(batch, sizes={3: 0.5, 2: 2.0})
    assert float(one_pass) / ROWS == pytest.approx(shrunk, abs=1e-5)
    apart = matryoshka(partial(infonce, temperature=TEMPERATURE, symmetric=False), {3: 0.5, 2: 2.0}, True)
    assert float(apart(batch).sum()) == pytest.approx(float(one_pass), abs=1e-5)


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
    assert float(loss(batch_of(queries, documents, labels=labels), scale=7.0).mean()) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(("distance", "theirs"), [("euclidean", "EUCLIDEAN"), ("cosine", "COSINE")])
def test_triplet_is_sentence_transformers_loss(distance, theirs):
    sides = [embeddings(ROWS, seed) * 2 for seed in (1, 2, 3)]
    theirs = TripletLoss(torch.nn.Identity(), getattr(TripletDistanceMetric, theirs), triplet_margin=0.4)
    ours = triplet(batch_of(sides[0], torch.cat(sides[1:])), margin=0.4, distance=distance)
    assert float(ours.mean()) == pytest.approx(float(theirs.compute_loss_from_embeddings(sides, None)), abs=1e-5)
    assert 0 < int((ours == 0).sum()) < ROWS  # the margin is kept by some


@pytest.mark.parametrize("negatives", [0, 1])
def test_all_terms_are_sentence_transformers_loss(negatives):
    queries, documents = embeddings(ROWS, 1), [embeddings(ROWS, 2 + i) for i in range(1 + negatives)]
    directions = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
    theirs = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE, directions=directions)
    expected = theirs.compute_loss_from_embeddings([queries, *documents], None)
    ours = loss_of(batch_of(queries, torch.cat(documents)), terms=("query-query", "document-query", "document-document"))
    assert float(ours) / ROWS == pytest.approx(float(expected), abs=1e-5)


def test_spread_out_is_sentence_transformers_loss():
    queries, documents = embeddings(ROWS, 1) * 2, embeddings(ROWS, 2)
    theirs = GlobalOrthogonalRegularizationLoss(torch.nn.Identity()).compute_loss_from_embeddings([queries, documents])
    ours = spread_out(batch_of(queries, documents))
    assert ours.shape == (ROWS,)
    assert float(ours.mean()) == pytest.approx(float(sum(theirs.values())), abs=1e-5)


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
    torch.testing.assert_close(found, reference_losses.margin_mse(batch, 2.0) + 0.5 * reference_losses.margin_mse(short, 2.0))


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


@pytest.mark.parametrize("ids", [1, 4])
@pytest.mark.parametrize("answers", [1, 30])
def test_what_is_no_negative_is_found_however_many_answers_there_are(answers, ids):
    draw = torch.Generator().manual_seed(0)
    rows, columns = (
        torch.cat([torch.randint(2, (n, 1), generator=draw), torch.randint(60, (n, k), generator=draw)], dim=1)
        for n, k in ((20, answers), (50, ids))
    )
    rows[::3, -1:], columns[::4, -1:] = -1, -2  # what fills up
    expected = [[bool(r[0] != c[0] or set(r[1:].tolist()) & set(c[1:].tolist())) for c in columns] for r in rows]
    assert excluded_columns(rows, columns).tolist() == expected


def test_a_positive_of_several_rows_is_spread_out_from_others_only():
    """Copies of a text cannot be."""
    queries, texts, rows = embeddings(6, 1), embeddings(3, 2), torch.tensor([2, 0, 1, 0, 2, 2])

    def spread(side: torch.Tensor) -> float:
        return float(spread_out(batch_of(side, side))[0])

    batch = replace(batch_of(queries, texts[rows]), document_ids=rows)
    assert float(spread_out(batch)[0]) == pytest.approx((spread(queries) + spread(texts)) / 2, abs=1e-6)


def test_a_low_temperature_leaves_a_divergence_finite():
    queries, documents = embeddings(ROWS, 1).requires_grad_(), embeddings(2 * ROWS, 2)
    batch = batch_of(queries, documents, teacher_scores=torch.linspace(-30, 30, 2 * ROWS))
    loss = distill_kl(batch, temperature=1e-3, teacher_temperature=0.05).sum()
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(queries.grad.isfinite().all())


# Row 1's negative is a known answer, to row 5 too; row 3, alone in its group, has two negatives; rows 0, 4 and 5 have none.
OWNERS = [0, 1, 2, 3, 4, 5, 1, 2, 3, 3]
TERMS = ("query-query", "document-query", "document-document")
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
    found, expected = (function(ragged(*sides), **settings) for function in (loss, getattr(reference_losses, loss.__name__)))
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


@pytest.mark.parametrize("sizes", [{}, {3: 0.5, 2: 2.0}], ids=["one size", "three sizes"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_gradient_is_that_of_finite_differences(symmetric, sizes):
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(len(DOCUMENT_IDS), 2, torch.float64)

    def loss(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        return loss_of(batch_of(queries, documents, DOCUMENT_IDS, ANSWERS), symmetric, sizes=sizes)

    assert torch.autograd.gradcheck(loss, (queries.requires_grad_(), documents.requires_grad_()))


def test_losses_are_summed_with_their_weights_over_the_stages_sizes():
    labels = torch.rand(ROWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = batch_of(embeddings(ROWS, 1, torch.float64), embeddings(ROWS, 2, torch.float64), labels=labels)
    sizes, both = {3: 0.5}, {"infonce": {"temperature": 0.2, "weight": 0.25}, "cosine": {"weight": 3}}
    stage = Contrastive(objective=both, data=["a", "b"], matryoshka=sizes)
    cut = replace(batch, queries=batch.queries[:, :3], documents=batch.documents[:, :3])  # a cosine is the same at any length
    expected = 3 * (cosine(batch) + 0.5 * cosine(cut))
    expected += 0.25 * infonce(batch, temperature=0.2, symmetric=False, sizes=sizes)
    torch.testing.assert_close(load_objectives(stage, Contract())(batch), expected)


@pytest.mark.parametrize("settings", [{"symmetric": True}, {"terms": TERMS}, {"tau_plus": 0.1, "focal_gamma": 0.5}])
def test_a_low_temperature_stays_finite(settings):
    queries, documents = embeddings(ROWS, 1).requires_grad_(), embeddings(ROWS, 2)
    loss = infonce(batch_of(queries, documents), temperature=1e-4, **settings).sum()
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(queries.grad.isfinite().all())
