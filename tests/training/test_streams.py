"""Orders of rows that are computed place by place: bijections, uniform by chi-square, the same from wherever one asks,
and dealt as sorting all of them would deal them."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from ascent.training.streams import ROUNDS, Interleaved, Passes, Permutation, Turns, uniform

# The largest p that is still taken for chance: each seed is fixed, so a test passes always or never.
CHANCE = 0.001


def order(size: int, *seed: int) -> np.ndarray:
    return Permutation(size, np.random.default_rng(seed or 0))(np.arange(size))


def all_of(stream) -> np.ndarray:
    return stream[: len(stream)]


@pytest.mark.parametrize(
    "size", [*range(1, 40), 97, 128, 1009, 4096, 4097, 65535, 65536, 99_991, 2**17, 1_000_003, 3**12]
)
def test_every_row_comes_once(size):
    assert np.array_equal(np.sort(order(size)), np.arange(size))


def test_a_part_of_an_order_is_that_of_the_whole():
    whole, part = order(100_003, 5), Permutation(100_003, np.random.default_rng(5))
    for places in (slice(0, 1), slice(50_000, 50_300), slice(100_000, 100_003)):
        assert np.array_equal(part(np.arange(100_003)[places]), whole[places])


def test_a_hundred_million_rows_take_the_memory_of_their_root():
    size = 100_000_000
    permutation = Permutation(size, np.random.default_rng(1))
    assert sum(table.nbytes for table in permutation._tables) <= ROUNDS * 4 * 10_000
    places = np.concatenate([np.arange(start, start + 1000) for start in (0, 50_000_000, size - 1000)])
    found = permutation(places)
    assert len(np.unique(found)) == 3000 and found.min() >= 0 and found.max() < size


def test_seeds_give_orders_that_share_no_more_places_than_chance_has_it():
    """Two random orders agree in one place on average, by Poisson's law in more than five with probability 0.0006."""
    one = order(10_007, 0)
    for seed in ([1], [2], [0, 1], [0, 0, 1]):
        assert (order(10_007, *seed) == one).sum() <= 5


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_of_few_rows_all_orders_are_equally_likely(size):
    every = dict.fromkeys(permutations(range(size)), 0)
    for seed in range(20 * len(every)):
        every[tuple(order(size, seed).tolist())] += 1
    assert stats.chisquare(list(every.values())).pvalue > CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 1000, 4099])
def test_a_row_may_come_at_any_place(size):
    """The place of the first, a middle and the last row over many seeds, in ten equal parts."""
    for row in (0, size // 2, size - 1):
        places = [int(np.flatnonzero(order(size, seed) == row)[0]) for seed in range(1000)]
        assert stats.chisquare(np.histogram(places, bins=10, range=(0, size))[0]).pvalue > CHANCE


@pytest.mark.parametrize("size", [10_007, 250_000, 1_000_000])
@pytest.mark.parametrize("apart", [1, 2, 1000])
def test_neighbours_in_an_order_are_independent(size, apart):
    """Rows at neighbouring places, and at places a root of the size apart, by which the network divides its numbers: in
    a table of ten by ten parts, and by the numbers of rows that lie between them."""
    found = order(size, 3)
    one, other = found[:-apart], found[apart:]
    table = np.histogram2d(one, other, bins=10, range=[(0, size)] * 2)[0]
    assert stats.chi2_contingency(table).pvalue > CHANCE
    differences = np.histogram((other - one) % size, bins=100, range=(0, size))[0]
    assert stats.chisquare(differences).pvalue > CHANCE


def test_stretches_of_an_order_are_spread_over_all_rows():
    found = order(1_000_000, 4)
    pvalues = [
        stats.chisquare(np.histogram(stretch, bins=20, range=(0, len(found)))[0]).pvalue
        for stretch in found.reshape(-1, 1000)
    ]
    assert stats.kstest(pvalues, "uniform").pvalue > CHANCE


def test_passes_take_every_row_once_each_in_an_order_of_its_own():
    found = all_of(Passes(101, 250, 1000, 7, (2,)))
    for number, rows in enumerate((found[:101], found[101:202])):
        assert np.array_equal(np.sort(rows), 1000 + np.arange(101))
        assert np.array_equal(rows, 1000 + order(101, 7, number, 2))
    assert len(np.unique(found[202:])) == 48
    assert (found[:101] == found[101:202]).sum() < 10


@pytest.mark.parametrize("stream", ["passes", "interleaved"])
def test_a_slice_is_that_of_the_whole(stream):
    streams = [Passes(size, rows, 0, 1, (1,)) for size, rows in ((50, 120), (3, 31), (400, 90))]
    found = {"passes": streams[0], "interleaved": Interleaved(streams, [1])}[stream]
    whole = all_of(found)
    assert len(found) == len(whole) == {"passes": 120, "interleaved": 241}[stream]
    for begin in range(0, len(whole), 7):
        for length in (0, 1, 7, 60, 500):
            assert np.array_equal(found[begin : begin + length], whole[begin : begin + length])


@pytest.mark.parametrize(
    "counts", [[5], [1, 1], [1, 1000], [700, 90, 210], [3, 1, 4, 1, 5, 9, 2, 6], [10**5, 7, 10**4]]
)
def test_items_are_dealt_as_by_sorting_all_of_them(counts):
    turns, keys = Turns(counts, [3, 4]), np.random.SeedSequence([3, 4]).generate_state(len(counts), np.uint64)
    items = [
        ((number + point) / count, kind, number)
        for kind, count in enumerate(counts)
        for number, point in enumerate(uniform(np.repeat(keys[kind], count), np.arange(count)).tolist())
    ]
    items.sort()
    expected = [item[1:] for item in items]
    total = sum(counts)
    step = max(1, total // 50)
    for begin, end in [(0, total), *((start, min(start + step, total)) for start in range(0, total, step))]:
        kinds, numbers = turns.between(begin, end)
        assert list(zip(kinds.tolist(), numbers.tolist(), strict=True)) == expected[begin:end]


def test_the_numbers_are_those_of_splitmix64():
    """The first outputs for the seed 1234567, by the recurrence in whole numbers of Python."""
    state, expected, mask = 1234567, [], 2**64 - 1
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) & mask
        one = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        one = ((one ^ (one >> 27)) * 0x94D049BB133111EB) & mask
        expected.append((one ^ (one >> 31)) >> 11)
    assert expected[0] == 6457827717110365317 >> 11  # as its authors' program prints it
    found = uniform(np.full(5, 1234567, dtype=np.uint64), np.arange(5))
    assert found.tolist() == [math.ldexp(number, -53) for number in expected]
