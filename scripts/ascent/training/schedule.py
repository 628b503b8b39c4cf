"""Which rows form which batch of a stage: a pure function of its settings, the same on every process and after every
restart."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import AscentError
from ..settings.training import Training

# The draws of one seed: a pass's order is [seed, pass] for all rows together, [seed, pass, 1 + data set] for one data
# set. Seed sequences are padded with zeros, so these two differ from any of them.
_MIXTURE, _BUCKETS = (0, 0, 1), (0, 0, 2)


@dataclass(frozen=True)
class Schedule:
    """The batches of a stage in the order of the steps.

    rows: the rows in order of use, numbered over all data sets of the stage, of the smallest unsigned type. bounds:
    int64 (steps + 1); batch `step` is rows[bounds[step]:bounds[step + 1]].
    """

    rows: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, step: int) -> np.ndarray:
        return self.rows[self.bounds[step] : self.bounds[step + 1]]

    @property
    def smallest(self) -> int:
        """The number of rows of the smallest batch."""
        return int(np.diff(self.bounds).min())


def shares(sizes: Sequence[int], stage: Training) -> list[int]:
    """Return how many rows of each data set a stage takes, over all its passes; a row may occur more than once.

    Together they are the sum of `sizes` times the epochs, rounded up, divided by the data sets' weights, or by their
    sizes to the power 1 / temperature (mT5, arXiv 2010.11934, section 3.2), with the largest remainders rounded up.
    Balanced, a batch's rows are so divided, and there are as many batches as those rows fill, the last one filled up.
    Raises AscentError when a balanced batch has no room for two rows of a data set.
    """
    total = math.ceil(round(sum(sizes) * stage.epochs, 6))  # 100 * 1.1 is slightly above 110
    weights = [use.weight for use in stage.data.values()]
    if None in weights:
        weights = [size ** (1 / stage.sampling_temperature) for size in sizes]
    if stage.batching != "balanced":
        return _divided(total, weights).tolist()
    of_batch = _divided(min(stage.batch_size, total), weights)
    if of_batch.min() < 2:  # a single row has nothing to be compared with
        raise AscentError(
            f"data.{list(stage.data)[int(of_batch.argmin())]}: its share of a balanced batch is less than two rows;"
            " raise its weight or batch_size."
        )
    return (of_batch * math.ceil(total / of_batch.sum())).tolist()


def _divided(total: int, weights: Sequence[float]) -> np.ndarray:
    """Return whole numbers that sum to `total`, proportional to the weights, with the largest remainders rounded up."""
    exact = np.array(weights, dtype=float) * (total / sum(weights))
    rows = np.floor(exact).astype(np.int64)
    rows[np.argsort(rows - exact, kind="stable")[: total - rows.sum()]] += 1
    return rows


def smallest_batch(rows: int, stage: Training) -> int:
    """Return the number of rows of the smallest batch of a stream, without a token budget."""
    last = rows % stage.batch_size
    if stage.batching == "balanced" or not last or rows < stage.batch_size:
        return min(rows, stage.batch_size)
    return (stage.batch_size + last) // 2


def few_steps(stage: Training, rows: int) -> str | None:
    """Return a warning if one batch takes more rows than all data sets have together."""
    if stage.batch_size <= rows:
        return None
    return (
        f"batch_size: {stage.batch_size:,} is more than the {rows:,} {stage.unit} of its data, so each pass over them"
        " is one step or less; lower it."
    )


def dealt(lengths: np.ndarray, rank: int, world: int) -> np.ndarray:
    """Return which rows of a batch a process takes, int64, ascending. lengths: tokens of each row of the batch.

    The longest row goes to the first process, the next to the second and so on, and back again from the last, in a
    snake, so that all have as many tokens, within a row's; numbers of rows differ by at most one.
    """
    order = np.argsort(-lengths, kind="stable")
    turns, seats = np.divmod(np.arange(len(order)), world)
    return np.sort(order[np.where(turns % 2, world - 1 - seats, seats) == rank])


def make_schedule(sizes: Sequence[int], stage: Training, lengths: np.ndarray | None = None) -> Schedule:
    """Return the batches of a stage. sizes: the rows of each data set. lengths: tokens of each row, over all data sets;
    needed for buckets and for a budget of tokens.

    Mixed batches by the data sets' own sizes are cut from one stream of passes over all rows, each pass in an order of
    its own. Otherwise each data set has such a stream, and rows (or whole batches) of the data sets are dealt out
    evenly: the i-th of n falls at random into the i-th of n equal parts of the stage, so every stretch of it has nearly
    the same mixture. Balanced batches each take the same rows of every stream.
    """
    plain = stage.sampling_temperature == 1 and all(use.weight is None for use in stage.data.values())
    kind = np.min_scalar_type(sum(sizes))
    starts = np.cumsum([0, *sizes])
    if len(sizes) == 1 or (plain and stage.batching == "mixed"):
        streams = [_passes(sum(sizes), sum(shares(sizes, stage)), 0, stage.seed, (), kind)]
    else:
        streams = [
            _passes(size, rows, starts[index], stage.seed, (1 + index,), kind)
            for index, (size, rows) in enumerate(zip(sizes, shares(sizes, stage), strict=True))
            if rows
        ]
    if stage.batching == "balanced":
        return _first_steps(_balanced(streams, stage), stage)
    homogeneous = len(streams) > 1 and stage.batching == "by_dataset"
    if len(streams) > 1 and not homogeneous:
        streams = [np.concatenate(streams)[_dealt([len(stream) for stream in streams], stage.seed)]]
    parts = [_batches(stream, stage, lengths) for stream in streams]
    rows = np.concatenate([stream for stream, _ in parts])
    lengths_of_batches = np.concatenate([counts for _, counts in parts])
    if homogeneous:
        order = _dealt([len(counts) for _, counts in parts], stage.seed)
        rows, lengths_of_batches = _reordered(rows, lengths_of_batches, order)
    schedule = Schedule(rows=rows, bounds=np.concatenate([[0], np.cumsum(lengths_of_batches)]))
    return _first_steps(schedule, stage)


def _first_steps(schedule: Schedule, stage: Training) -> Schedule:
    bounds = schedule.bounds if stage.max_steps is None else schedule.bounds[: stage.max_steps + 1]
    return Schedule(rows=schedule.rows[: bounds[-1]], bounds=bounds)


def _passes(size: int, rows: int, start: int, seed: int, key: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """Return `rows` rows of a data set that begins at `start`: pass after pass, each in its own order."""
    stream = np.empty(rows, dtype=kind)
    for number, begin in enumerate(range(0, rows, size)):
        order = np.random.default_rng([seed, number, *key]).permutation(size)
        stream[begin : begin + size] = start + order[: rows - begin]
    return stream


def _dealt(counts: Sequence[int], seed: int) -> np.ndarray:
    """Return an order of sum(counts) items, given kind by kind, that interleaves the kinds evenly and keeps each one's
    order."""
    draw = np.random.default_rng([seed, *_MIXTURE])
    return np.argsort(np.concatenate([(np.arange(n) + draw.random(n)) / n for n in counts]), kind="stable")


def _balanced(streams: Sequence[np.ndarray], stage: Training) -> Schedule:
    """Return batches with the same number of rows of every stream, data set by data set."""
    steps = math.ceil(sum(map(len, streams)) / stage.batch_size)
    rows = np.concatenate([stream.reshape(steps, -1) for stream in streams], axis=1)
    return Schedule(rows=rows.ravel(), bounds=np.arange(steps + 1) * rows.shape[1])


def _batches(stream: np.ndarray, stage: Training, lengths: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Cut a stream into batches; return its rows (reordered if there are buckets) and each batch's number of rows."""
    if stage.bucket_batches is None:
        return stream, np.array(list(_cut(stream, stage, lengths)), dtype=np.int64)
    window, rows, counts = stage.bucket_batches * stage.batch_size, [], []
    draw = np.random.default_rng([stage.seed, *_BUCKETS])
    # The remainder after the last window, less than a batch, is added to it.
    begins = [begin for begin in range(0, len(stream), window) if begin == 0 or len(stream) - begin >= stage.batch_size]
    for begin, end in zip(begins, [*begins[1:], len(stream)], strict=True):
        part = stream[begin:end]
        part = part[np.argsort(lengths[part], kind="stable")]
        sizes = np.array(list(_cut(part, stage, lengths)), dtype=np.int64)
        part, sizes = _reordered(part, sizes, draw.permutation(len(sizes)))
        rows.append(part)
        counts.append(sizes)
    return np.concatenate(rows), np.concatenate(counts)


def _cut(rows: np.ndarray, stage: Training, lengths: np.ndarray | None) -> Iterator[int]:
    """Yield the numbers of rows of the batches that rows, in their order, are cut into: as many as fit, at least one.

    The last two share their rows as evenly as the budget of tokens lets them: a tiny batch has few negatives, so its
    loss and gradient are near 0 and its step is one of momentum alone; or it has fewer rows than there are processes.
    """
    most, budget = stage.batch_size, stage.batch_tokens
    tokens = None if budget is None else np.concatenate([[0], np.cumsum(lengths[rows], dtype=np.int64)])

    def end_of(begin: int) -> int:
        end = min(begin + most, len(rows))
        if tokens is not None:
            end = min(end, int(np.searchsorted(tokens, tokens[begin] + budget, side="right")) - 1)
        return max(end, begin + 1)

    begin = 0
    while begin < len(rows):
        end = end_of(begin)
        if end < len(rows) and end_of(end) == len(rows):
            half = begin + (len(rows) - begin + 1) // 2
            end = next((middle for middle in range(half, end) if end_of(middle) == len(rows)), end)
        yield end - begin
        begin = end


def _reordered(rows: np.ndarray, counts: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and their batches' sizes with the batches in another order."""
    ends = np.cumsum(counts)
    moved = [rows[end - count : end] for end, count in zip(ends[order], counts[order], strict=True)]
    return np.concatenate(moved), counts[order]
