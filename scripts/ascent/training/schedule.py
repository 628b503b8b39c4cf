"""Which rows form which batch of a stage: a pure function of its settings, the same on every process and after every
restart. No process holds an array over all rows: the rows of a batch are computed when it is asked for."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import AscentError
from ..settings.training import Training
from .streams import Interleaved, Passes, Stream, Turns

# The draws of one seed: a pass's order is [seed, pass] for all rows together, [seed, pass, 1 + data set] for one data
# set; a window of buckets has [seed, window, *_BUCKETS]. Seed sequences are padded with zeros, so all of these differ.
_MIXTURE, _BUCKETS = (0, 0, 1), (0, 0, 2)
# Rows whose lengths are looked up at a time.
BLOCK = 1 << 18

# Returns the tokens of each of some rows, which are numbered over all data sets: int64 (rows,) to integers (rows,).
Lengths = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Schedule:
    """The batches of a stage in the order of the steps.

    sizes: int64 (steps,), the rows of each batch. batch: returns the rows of the batch of a step from 0, int64,
    numbered over all data sets of the stage.
    """

    sizes: np.ndarray
    batch: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, step: int) -> np.ndarray:
        if not 0 <= step < len(self):
            raise IndexError(step)
        return self.batch(step)

    @property
    def smallest(self) -> int:
        """The number of rows of the smallest batch."""
        return int(self.sizes.min())


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


def make_schedule(sizes: Sequence[int], stage: Training, lengths: Lengths | None = None) -> Schedule:
    """Return the batches of a stage. sizes: the rows of each data set. lengths: needed for buckets and for a budget of
    tokens.

    Mixed batches by the data sets' own sizes are cut from one stream of passes over all rows, each pass in an order of
    its own. Otherwise each data set has such a stream, and rows (or whole batches) of the data sets are dealt out
    evenly, see Turns, so every stretch of the stage has nearly the same mixture. Balanced batches each take the same
    rows of every stream. A budget of tokens is the one case in which every row is looked at before the first step: how
    many batches there are depends on it.
    """
    plain = stage.sampling_temperature == 1 and all(use.weight is None for use in stage.data.values())
    starts = np.cumsum([0, *sizes]).tolist()
    streams: list[Stream]
    if len(sizes) == 1 or (plain and stage.batching == "mixed"):
        streams = [Passes(sum(sizes), sum(shares(sizes, stage)), 0, stage.seed, ())]
    else:
        streams = [
            Passes(size, rows, starts[index], stage.seed, (1 + index,))
            for index, (size, rows) in enumerate(zip(sizes, shares(sizes, stage), strict=True))
            if rows
        ]
    if stage.batching == "balanced":
        schedule = _balanced(streams, stage)
    elif len(streams) > 1 and stage.batching == "by_dataset":
        schedule = _by_dataset([_batches(stream, stage, lengths) for stream in streams], stage)
    else:
        whole = streams[0] if len(streams) == 1 else Interleaved(streams, [stage.seed, *_MIXTURE])
        schedule = _batches(whole, stage, lengths)
    return Schedule(schedule.sizes[: stage.max_steps], schedule.batch)


def _balanced(streams: Sequence[Stream], stage: Training) -> Schedule:
    """Return batches with the same number of rows of every stream, data set by data set."""
    steps = math.ceil(sum(map(len, streams)) / stage.batch_size)
    own = [len(stream) // steps for stream in streams]

    def batch(step: int) -> np.ndarray:
        parts = [stream[step * rows : (step + 1) * rows] for stream, rows in zip(streams, own, strict=True)]
        return np.concatenate(parts)

    return Schedule(np.full(steps, sum(own)), batch)


def _by_dataset(parts: Sequence[Schedule], stage: Training) -> Schedule:
    """Return the batches of several schedules, dealt evenly."""
    turns = Turns([len(part) for part in parts], [stage.seed, *_MIXTURE])
    kinds, numbers = turns.between(0, len(turns))
    starts = np.cumsum([0, *(len(part) for part in parts)])
    sizes = np.concatenate([part.sizes for part in parts])[starts[kinds] + numbers]

    def batch(step: int) -> np.ndarray:
        (kind,), (number,) = turns.between(step, step + 1)
        return parts[kind][number]

    return Schedule(sizes, batch)


def _batches(stream: Stream, stage: Training, lengths: Lengths | None) -> Schedule:
    """Cut a stream into batches."""
    if stage.bucket_batches is not None:
        return _in_buckets(stream, stage, lengths)
    sizes = _even(len(stream), stage.batch_size) if stage.batch_tokens is None else _sizes(stream, stage, lengths)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return Schedule(sizes, lambda step: stream[bounds[step] : bounds[step + 1]])


def _even(rows: int, most: int) -> np.ndarray:
    """Return the numbers of rows of the batches that rows are cut into, `most` in each.

    The last two share their rows: a tiny batch has few negatives, so its loss and gradient are near 0 and its step is
    one of momentum alone; or it has fewer rows than there are processes.
    """
    sizes = np.full(-(-rows // most), most)
    last = min(rows, 2 * most - (-rows % most))  # rows of the last two together
    if len(sizes) == 1:
        sizes[0] = rows
    else:
        sizes[-2:] = last - last // 2, last // 2
    return sizes


def _sizes(stream: Stream, stage: Training, lengths: Lengths) -> np.ndarray:
    """Return the numbers of rows of the batches that a stream is cut into by _cut, a block of rows at a time."""
    sizes: list[int] = []
    begin, block = 0, max(BLOCK, 4 * stage.batch_size)
    while begin < len(stream):
        rows = stream[begin : begin + block]
        over = begin + len(rows) == len(stream)
        done = 0
        for size in _cut(lengths(rows), stage.batch_size, stage.batch_tokens):
            if not over and len(rows) - done <= 2 * stage.batch_size:
                break  # the last two batches of a block would share its rows
            sizes.append(size)
            done += size
        begin += done
    return np.array(sizes, dtype=np.int64)


def _in_buckets(stream: Stream, stage: Training, lengths: Lengths) -> Schedule:
    """Cut a stream into windows, and each window into batches of rows of similar length, in an order at random."""
    most, budget = stage.batch_size, stage.batch_tokens
    window = stage.bucket_batches * most
    # The remainder after the last window, less than a batch, is added to it.
    begins = [begin for begin in range(0, len(stream), window) if begin == 0 or len(stream) - begin >= most]
    begins.append(len(stream))

    @lru_cache(maxsize=2)
    def batches(number: int) -> list[np.ndarray]:
        rows = stream[begins[number] : begins[number + 1]]
        tokens = lengths(rows)
        order = np.argsort(tokens, kind="stable")
        sizes = _even(len(rows), most) if budget is None else list(_cut(tokens[order], most, budget))
        parts = np.split(rows[order], np.cumsum(sizes)[:-1])
        draw = np.random.default_rng([stage.seed, number, *_BUCKETS])
        return [parts[place] for place in draw.permutation(len(parts))]

    def sizes_of(number: int) -> np.ndarray:
        if budget is None and number < len(begins) - 2:  # a whole window
            return np.full(stage.bucket_batches, most)
        return np.array([len(rows) for rows in batches(number)])

    sizes = [sizes_of(number) for number in range(len(begins) - 1)]
    firsts = np.cumsum([0, *map(len, sizes)])

    def batch(step: int) -> np.ndarray:
        number = int(np.searchsorted(firsts, step, side="right")) - 1
        return batches(number)[step - firsts[number]]

    return Schedule(np.concatenate(sizes), batch)


def _cut(lengths: np.ndarray, most: int, budget: int) -> Iterator[int]:
    """Yield the numbers of rows of the batches that rows of these lengths are cut into: as many as the budget of tokens
    lets in, at most `most`, at least one. The last two share their rows as evenly as it lets them, see _even."""
    rows, tokens = len(lengths), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def end_of(begin: int) -> int:
        within = int(np.searchsorted(tokens, tokens[begin] + budget, side="right")) - 1
        return max(min(begin + most, rows, within), begin + 1)

    begin = 0
    while begin < rows:
        end = end_of(begin)
        if end < rows and end_of(end) == rows:
            half = begin + (rows - begin + 1) // 2
            end = next((middle for middle in range(half, end) if end_of(middle) == rows), end)
        yield end - begin
        begin = end
