"""InfoNCE and what it leaves out: known answers, groups, prefixes."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    MultipleNegativesRankingLoss,
    MultipleNegativesSymmetricRankingLoss,
)

from ascent.losses import matryoshka
from ascent.losses.infonce import infonce
from ascent.losses.ring import excluded_columns
from support.loss_batches import ROWS, TEMPERATURE, TERMS, batch_of, embeddings, loss_of

pytestmark = pytest.mark.usefixtures("tiles")


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


# Rows 0 and 3 ask the same; rows 1 and 4 share a positive; row 2's negative (document 8) is row 4's positive too, row
# 5's negative (document 9) is its own positive, and row 1's negative (document 7) is the other answer to row 0's query.
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
            replace(alone, groups=torch.zeros_like(alone.groups)),
            temperature=TEMPERATURE,
            symmetric=symmetric and group == 0,
        )
        torch.testing.assert_close(both[groups == group], expected, atol=1e-12, rtol=0)


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


@pytest.mark.parametrize("negatives", [0, 1])
def test_all_terms_are_sentence_transformers_loss(negatives):
    queries, documents = embeddings(ROWS, 1), [embeddings(ROWS, 2 + i) for i in range(1 + negatives)]
    directions = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
    theirs = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE, directions=directions)
    expected = theirs.compute_loss_from_embeddings([queries, *documents], None)
    ours = loss_of(
        batch_of(queries, torch.cat(documents)), terms=("query-query", "document-query", "document-document")
    )
    assert float(ours) / ROWS == pytest.approx(float(expected), abs=1e-5)


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


@pytest.mark.parametrize("sizes", [{}, {3: 0.5, 2: 2.0}], ids=["one size", "three sizes"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_gradient_is_that_of_finite_differences(symmetric, sizes):
    queries, documents = embeddings(ROWS, 1, torch.float64), embeddings(len(DOCUMENT_IDS), 2, torch.float64)

    def loss(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        return loss_of(batch_of(queries, documents, DOCUMENT_IDS, ANSWERS), symmetric, sizes=sizes)

    assert torch.autograd.gradcheck(loss, (queries.requires_grad_(), documents.requires_grad_()))


@pytest.mark.parametrize("settings", [{"symmetric": True}, {"terms": TERMS}, {"tau_plus": 0.1, "focal_gamma": 0.5}])
def test_a_low_temperature_stays_finite(settings):
    queries, documents = embeddings(ROWS, 1).requires_grad_(), embeddings(ROWS, 2)
    loss = infonce(batch_of(queries, documents), temperature=1e-4, **settings).sum()
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(queries.grad.isfinite().all())
