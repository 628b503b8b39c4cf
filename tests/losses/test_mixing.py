"""Synthetic negatives: their formula, what they are made of, and what a row's draws depend on."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from ascent.losses import Embedded, matryoshka
from ascent.losses.infonce import infonce
from ascent.losses.mixing import draws, mixtures, own_negatives
from support import reference_losses

ROWS, DIMENSION = 5, 6
# Row 0 has four negatives of its own, one of them a known answer; row 2 has two, row 3 one, row 4 two, one of them
# known.
OWNERS = [0, 1, 2, 3, 4, 0, 2, 0, 3, 0, 2, 4, 0, 4]
IDS = [10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 26, 99, 98]
ANSWERS = [[10, 99], [11, -1], [12, -1], [13, -1], [14, 98]]
MIXINGS = {
    "pairs": {"pairwise": 4, "listwise": False, "seed": 0},
    "list": {"pairwise": 0, "listwise": True, "seed": 0},
    "both": {"pairwise": 2, "listwise": True, "seed": 3},
}


def batch(groups: list[int] = (0,) * ROWS) -> Embedded:
    draw = torch.Generator().manual_seed(0)
    sides = (torch.randn(count, DIMENSION, generator=draw, dtype=torch.float64) for count in (ROWS, len(OWNERS)))
    queries, documents = (torch.nn.functional.normalize(side, dim=1) for side in sides)
    return Embedded(
        queries=queries,
        documents=documents,
        row_of_document=torch.tensor(OWNERS),
        document_ids=torch.tensor(IDS),
        answers=torch.tensor(ANSWERS),
        groups=torch.tensor(groups),
        labels=torch.full((ROWS,), torch.nan),
        dataset_index=torch.zeros(ROWS, dtype=torch.int64),
        numbers=(7 << 32) + torch.arange(ROWS),
        weights=torch.ones(ROWS),
    )


def test_own_negatives_are_without_known_answers():
    assert own_negatives(batch()).tolist() == [[5, 7, 9], [-1, -1, -1], [6, 10, -1], [8, -1, -1], [11, -1, -1]]
    assert own_negatives(batch().select(torch.tensor([False, True, False, False, False]))).shape == (1, 0)


@pytest.mark.parametrize(
    "more", [{}, {"symmetric": True, "false_negative_margin": 0.2}, {"tau_plus": 0.1, "focal_gamma": 0.5}]
)
@pytest.mark.parametrize("name", MIXINGS)
def test_the_loss_is_its_formula_and_its_gradient_that_of_finite_differences(name, more):
    found = batch()
    for side in (found.queries, found.documents):
        side.requires_grad_()
    settings = {"temperature": 0.2, "mixing": MIXINGS[name]} | more
    losses = infonce(found, **settings)
    expected = reference_losses.infonce(found, **settings)
    torch.testing.assert_close(losses, expected, atol=1e-10, rtol=0)
    without = infonce(found, **settings | {"mixing": None})
    changed = (losses - without).abs() > 1e-6
    assert changed.tolist() == [
        True,
        False,
        True,
        False,
        False,
    ]  # rows with two of their own; no other row is told from these
    sides = (found.queries, found.documents)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss.sum(), sides) for loss in (losses, expected)), atol=1e-9, rtol=0
    )

    def loss(queries, documents):
        return infonce(replace(found, queries=queries, documents=documents), **settings).sum()

    assert torch.autograd.gradcheck(loss, sides)


def test_a_row_s_draws_depend_on_its_number_and_the_seed_alone():
    """Whoever holds the row, and whatever else is in its share."""
    whole = batch(groups=[1, 2, 3, 4, 5])
    loss = partial(infonce, temperature=0.2, mixing=MIXINGS["both"])
    for rows in ([True, False, False, True, False], [False, True, True, False, True]):
        share = whole.select(torch.tensor(rows))
        torch.testing.assert_close(loss(share), loss(whole)[torch.tensor(rows)], atol=1e-12, rtol=0)
    first, again, other = draws(whole.numbers, 4, 0), draws(whole.numbers, 4, 0), draws(whole.numbers, 4, 1)
    assert torch.equal(first, again) and not (first == other).any()
    assert not (first == draws(whole.numbers + (1 << 32), 4, 0)).any()  # the next step
    assert torch.equal(draws(whole.numbers[[3]], 4, 0)[0], first[3])


def test_pairs_are_of_two_different_negatives_and_every_pair_comes():
    numbers = torch.arange(500)
    own = torch.tensor([[0, 1, 2]]).repeat(500, 1)
    uniform = draws(numbers, 2, 0)
    found = mixtures(
        torch.zeros(500, 3), torch.eye(3).double(), own, uniform, listwise=False, temperature=1.0, normalise=False
    )
    assert found.shape == (500, 2, 3)
    torch.testing.assert_close(found.sum(2), torch.ones(500, 2, dtype=torch.float64))
    parts = (found > 0).flatten(0, 1)
    assert (parts.sum(1) == 2).all()
    pairs = parts.unique(dim=0, return_counts=True)
    assert pairs[1].min() > 250  # a third of 1,000 is expected
    assert 0.45 < float(found[..., 0][found[..., 0] > 0].mean()) < 0.55


def test_all_matryoshka_sizes_mix_their_own_prefixes():
    sizes = {4: 0.5, 2: 2.0}
    settings = {"temperature": 0.2, "mixing": MIXINGS["both"]}
    apart = matryoshka(partial(infonce, **settings), sizes, True)
    torch.testing.assert_close(infonce(batch(), **settings, sizes=sizes), apart(batch()), atol=1e-10, rtol=0)
