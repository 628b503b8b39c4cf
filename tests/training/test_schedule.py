"""The order of the data: passes in the plain case, shares, buckets, budgets, and what depends on what."""

import math
from collections import Counter

import numpy as np
import pytest

from ascent.errors import AscentError
from ascent.settings.contrastive import Contrastive
from ascent.training import schedule
from ascent.training.schedule import dealt, make_schedule, shares, smallest_batch
from ascent.training.streams import Permutation

SIZES = [700, 90, 210]
STARTS = [0, 700, 790, 1000]
LENGTHS = np.random.default_rng(3).integers(10, 400, size=1000).astype(np.int32)


def stage(weights=(None, None, None), **settings) -> Contrastive:
    data = {f"d{index}": {"weight": weight} for index, weight in enumerate(weights)}
    return Contrastive(objective="infonce", data=data, **{"batch_size": 32} | settings)


def schedule_of(settings: Contrastive, sizes=SIZES):
    return make_schedule(sizes, settings, LENGTHS.__getitem__)


def batches(found) -> list[list[int]]:
    return [found[step].tolist() for step in range(len(found))]


def rows_of(found) -> np.ndarray:
    return np.concatenate([found[step] for step in range(len(found))])


def order_of(size: int, *seed: int) -> list[int]:
    return Permutation(size, np.random.default_rng(seed))(np.arange(size)).tolist()


def sources(rows) -> Counter:
    return Counter((np.searchsorted(STARTS, rows, side="right") - 1).tolist())


SETTINGS = {
    "plain": stage(),
    "weights": stage((1, 2, 1)),
    "temperature": stage(sampling_temperature=3, epochs=2.3),
    "by data set": stage(batching="by_dataset"),
    "by data set, weights": stage((5, 1, 1), batching="by_dataset", epochs=1.5),
    "buckets": stage(bucket_batches=4),
    "budget": stage(batch_tokens=3000),
    "buckets and budget": stage((1, 1, 1), bucket_batches=4, batch_tokens=3000),
    "all": stage((5, 1, 1), batching="by_dataset", bucket_batches=3, batch_tokens=3000, epochs=2),
}
each = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


@pytest.mark.parametrize("sizes", [[1000], SIZES])
@pytest.mark.parametrize("epochs", [1, 0.37, 2.5, 0.001])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_plain_order_is_that_of_passes_over_all_rows(sizes, epochs, seed):
    expected, rows = [], math.ceil(round(1000 * epochs, 6))
    for number in range(math.ceil(epochs)):
        expected += order_of(1000, seed, number)
    found = batches(schedule_of(stage([None] * len(sizes), epochs=epochs, seed=seed), sizes))
    assert [row for batch in found for row in batch] == expected[:rows]
    full = len(found) - 2 if rows > 32 else 0
    assert [len(batch) for batch in found[:full]] == [32] * full


@each
def test_a_limit_of_steps_leaves_the_first_as_they_are(settings):
    whole, limited = schedule_of(settings), schedule_of(settings.model_copy(update={"max_steps": 5}))
    assert batches(limited) == batches(whole)[:5]
    assert limited.sizes.tolist() == [len(batch) for batch in batches(limited)]
    assert batches(schedule_of(settings.model_copy(update={"max_steps": 10**6}))) == batches(whole)


def test_a_single_data_set_has_the_same_order_whatever_its_weight():
    plain = batches(schedule_of(stage([None], epochs=1.5), [1000]))
    for other in (stage([3], epochs=1.5), stage([None], epochs=1.5, batching="by_dataset", sampling_temperature=2)):
        assert batches(schedule_of(other, [1000])) == plain


@each
def test_the_totals_are_exact(settings):
    found = sources(rows_of(schedule_of(settings)))
    total = math.ceil(1000 * settings.epochs)
    assert found.total() == total
    weights = [
        use.weight or size ** (1 / settings.sampling_temperature)
        for use, size in zip(settings.data.values(), SIZES, strict=True)
    ]
    for index, weight in enumerate(weights):
        assert abs(found[index] - total * weight / sum(weights)) < 1
    assert [found[index] for index in range(3)] == shares(SIZES, settings)


def test_shares_are_rounded_by_the_largest_remainder():
    assert shares([10, 10, 10], stage((1, 1, 1), epochs=0.34)) == [4, 4, 3]  # 3.67 each of 11
    assert shares([10, 10, 10], stage((1, 2, 4))) == [4, 9, 17]  # 4.29, 8.57, 17.14
    assert shares([100, 100, 100], stage(epochs=1.1)) == [110, 110, 110]
    # mT5, arXiv 2010.11934, section 3.2, with 1 / temperature = 0.5: as 30 to 10
    assert shares([900, 100, 100], stage(sampling_temperature=2)) == [660, 220, 220]


@each
def test_within_a_data_set_no_row_comes_again_before_all_have_come(settings):
    found = schedule_of(settings)
    counts = np.bincount(rows_of(found), minlength=1000)
    if settings.batching == "mixed" and all(use.weight is None for use in settings.data.values()):
        parts = [counts] if settings.sampling_temperature == 1 else np.split(counts, STARTS[1:-1])
    else:
        parts = np.split(counts, STARTS[1:-1])
    for part in parts:
        assert part.max() - part.min() <= 1


@each
def test_the_sizes_are_those_of_the_batches(settings):
    found = schedule_of(settings)
    assert found.sizes.tolist() == [len(batch) for batch in batches(found)]
    assert found.sizes.min() >= 1 and found.sizes.max() <= 32
    assert found.smallest == found.sizes.min()
    assert len(found) == len(found.sizes)
    assert {found[step].dtype for step in range(len(found))} == {np.dtype(np.int64)}
    for step in (-1, len(found)):
        with pytest.raises(IndexError):
            found[step]


@each
def test_a_batch_is_the_same_whichever_are_asked_for_before(settings):
    expected = batches(schedule_of(settings))
    for start in (0, len(expected) // 2, len(expected) - 1):
        found = schedule_of(settings)
        assert [found[step].tolist() for step in range(start, len(expected))] == expected[start:]
    found = schedule_of(settings)
    assert [found[step].tolist() for step in range(len(expected))[::-1]] == expected[::-1]


def test_blocks_change_no_batch_of_a_budget(monkeypatch):
    expected = batches(schedule_of(SETTINGS["budget"]))
    for block in (1, 200, 999, 1000):
        monkeypatch.setattr(schedule, "BLOCK", block)
        assert batches(schedule_of(SETTINGS["budget"])) == expected


@each
def test_only_a_budget_looks_at_all_rows_before_the_first_step(settings):
    looked = []
    make_schedule(SIZES, settings, lambda rows: looked.append(len(rows)) or LENGTHS[rows])
    if settings.batch_tokens:
        assert sum(looked) >= 1000
    else:  # buckets at the last window, whose batches are uneven
        assert sum(looked) <= (4 * 32 + 31 if settings.bucket_batches else 0)


@pytest.mark.parametrize("settings", [SETTINGS["weights"], SETTINGS["temperature"]])
def test_every_stretch_has_nearly_the_same_mixture(settings):
    rows, quota = rows_of(schedule_of(settings)), shares(SIZES, settings)
    total = sum(quota)
    for start in range(0, total - 100, 7):
        here = sources(rows[start : start + 100])
        assert all(abs(here[index] - 100 * quota[index] / total) <= 2 for index in range(3)), (start, here)


def test_a_batch_by_data_set_has_one_and_the_data_sets_alternate():
    settings = stage(batching="by_dataset", batch_size=10, epochs=2)
    found = batches(schedule_of(settings))
    kinds = []
    for rows in found:
        (kind,) = sources(rows)
        kinds.append(kind)
    assert Counter(kinds) == {0: 140, 1: 18, 2: 42}
    for start in range(0, 150, 10):
        assert abs(kinds[start : start + 50].count(2) - 10.5) <= 2


def test_the_last_two_batches_of_a_data_set_share_their_rows():
    found = schedule_of(stage(batching="by_dataset", batch_size=100), [700, 101, 199])
    assert sorted(found.sizes.tolist()) == [50, 51, 99, *[100] * 8]


@pytest.mark.parametrize("rows", [65, 96, 97, 1000])
def test_the_last_two_batches_share_their_rows(rows):
    """A last batch of one row would have no negatives: loss and gradient 0."""
    sizes = schedule_of(stage([None]), [rows]).sizes.tolist()
    *full, last, end = sizes
    assert full == [32] * (math.ceil(rows / 32) - 2)
    assert sum(sizes) == rows and 0 <= last - end <= 1


@pytest.mark.parametrize("batching", ["mixed", "by_dataset"])
@pytest.mark.parametrize("buckets", [None, 1, 3])
@pytest.mark.parametrize("sizes", [[64, 64], [65, 70], [3, 96], [90, 5], [31, 32]])
def test_the_smallest_batch_is_known_without_the_schedule(batching, buckets, sizes):
    settings = stage([None] * 2, batching=batching, bucket_batches=buckets)
    parts = sizes if batching == "by_dataset" else [sum(sizes)]
    expected = schedule_of(settings, sizes).smallest
    assert min(smallest_batch(part, settings) for part in parts) == expected


@pytest.mark.parametrize("sizes", [[64, 64], [65, 70], [90, 5], [31, 32], [1000]])
def test_the_smallest_balanced_batch_is_known_without_the_schedule(sizes):
    settings = stage([None] * len(sizes), batching="balanced")
    assert smallest_batch(sum(shares(sizes, settings)), settings) == schedule_of(settings, sizes).smallest


@pytest.mark.parametrize(
    ("settings", "quota", "steps"),
    [
        (stage(batching="balanced"), [22, 3, 7], 32),  # of 32 rows 22.4, 2.88 and 6.72
        (
            stage((5, 1, 1), batching="balanced", epochs=1.7),
            [23, 5, 4],
            54,
        ),  # 22.86, 4.57, 4.57; 1,700 rows are 53.1 batches
        (stage(batching="balanced", sampling_temperature=2, epochs=0.5), [17, 6, 9], 16),  # 16.79, 6.02, 9.19
    ],
)
def test_every_balanced_batch_has_the_same_share_of_every_data_set(settings, quota, steps):
    found = schedule_of(settings)
    assert len(found) == steps
    assert shares(SIZES, settings) == [rows * steps for rows in quota]
    for rows in batches(found):
        assert [sources(rows)[index] for index in range(3)] == quota
    assert batches(found) == batches(schedule_of(settings))
    assert batches(found) != batches(schedule_of(settings.model_copy(update={"seed": 1})))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [8, 9, 15, 500])
def test_rows_are_dealt_so_that_processes_have_as_many_tokens(rows, world):
    lengths = np.minimum(np.random.default_rng(rows).lognormal(4, 1, rows), 256).astype(np.int32)
    found = [dealt(lengths, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    assert all((np.diff(own) > 0).all() for own in found)  # in the batch's order
    counts, tokens = [len(own) for own in found], [int(lengths[own].sum()) for own in found]
    assert max(counts) - min(counts) <= 1
    assert max(tokens) - min(tokens) <= lengths.max()
    if rows == 500:
        assert max(tokens) < 1.01 * np.mean(tokens)


def test_balanced_each_data_set_goes_through_its_own_passes():
    found = schedule_of(stage(batching="balanced", epochs=3))
    for index, size in enumerate(SIZES):
        own = [row for row in rows_of(found).tolist() if STARTS[index] <= row < STARTS[index + 1]]
        for number in range(len(own) // size):
            order = [STARTS[index] + row for row in order_of(size, 0, number, 1 + index)]
            assert own[number * size : (number + 1) * size] == order


def test_balanced_few_rows_are_one_batch():
    assert sorted(rows_of(schedule_of(stage((None,) * 2, batching="balanced"), [7, 3])).tolist()) == list(range(10))


def test_a_data_set_without_a_row_in_a_balanced_batch_is_refused():
    with pytest.raises(
        AscentError, match=r"^data\.d1: its share of a balanced batch is less than two rows; raise its weight"
    ):
        schedule_of(stage((None,) * 2, batching="balanced"), [9900, 100])


def padded(found) -> int:
    return sum(int(LENGTHS[found[step]].max()) * len(found[step]) for step in range(len(found)))


@pytest.mark.parametrize("batching", ["mixed", "by_dataset"])
def test_buckets_hold_the_same_rows_and_pad_less(batching):
    plain, buckets = (schedule_of(stage(batching=batching, bucket_batches=count)) for count in (None, 8))
    assert sorted(rows_of(plain)) == sorted(rows_of(buckets))
    assert len(plain) == len(buckets)
    real = int(LENGTHS.sum())
    assert padded(plain) - real > 3 * (padded(buckets) - real) > 0
    # The batches of a window are shuffled: their lengths neither rise nor fall all the way.
    means = [LENGTHS[buckets[step]].mean() for step in range(8)]
    assert means != sorted(means) and means != sorted(means)[::-1]


def test_buckets_take_each_window_s_rows():
    plain, buckets = rows_of(schedule_of(stage())), rows_of(schedule_of(stage(bucket_batches=4)))
    for start in range(0, 1000, 128):
        assert sorted(plain[start : start + 128]) == sorted(buckets[start : start + 128])


@pytest.mark.parametrize("name", ["budget", "buckets and budget", "all"])
def test_no_batch_is_above_its_budget_and_none_could_take_the_next_row(name):
    settings = SETTINGS[name]
    found = schedule_of(settings)
    tokens = [int(LENGTHS[found[step]].sum()) for step in range(len(found))]
    assert max(tokens) <= 3000
    assert np.mean(tokens) > 0.8 * 3000
    if name == "budget":
        for step in range(len(found) - 2):  # the last two share their rows
            assert tokens[step] + LENGTHS[found[step + 1][0]] > 3000 or len(found[step]) == 32


def test_a_budget_keeps_the_order():
    assert rows_of(schedule_of(SETTINGS["budget"])).tolist() == rows_of(schedule_of(stage())).tolist()


def test_a_row_above_the_budget_is_a_batch_of_its_own():
    found = make_schedule([4], stage([None], batch_tokens=100), np.array([500, 10, 10, 10]).__getitem__)
    assert sorted(len(found[step]) for step in range(len(found))) in ([1, 3], [1, 1, 2])
    assert [0] in batches(found)


@each
def test_a_schedule_depends_on_the_seed_alone(settings):
    assert batches(schedule_of(settings)) == batches(schedule_of(settings))
    assert batches(schedule_of(settings)) != batches(schedule_of(settings.model_copy(update={"seed": 1})))
