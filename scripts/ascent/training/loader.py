"""Batches read ahead by worker processes, in the schedule's order regardless of the number of workers."""

import atexit
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children, resource_tracker
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import AscentError
from .data import Batch, TrainingData
from .job.preemption import SIGNALS
from .schedule import Schedule


class Loader:
    """One process's shares of a schedule's batches, in order, beginning at step `start`.

    workers: processes that read ahead, two batches each; with none, a batch is read when it is asked for. pin: put
    tensors where a GPU fetches them by itself. The order and what a batch holds depend on neither.
    """

    def __init__(
        self, data: TrainingData, schedule: Schedule, *, start: int, rank: int, world: int, workers: int, pin: bool
    ):
        loader = DataLoader(
            _Shares(data, rank, world),
            # Workers receive the rows of a batch, so that they need not hold the schedule.
            sampler=_Steps(schedule, start),
            batch_size=None,
            num_workers=workers,
            pin_memory=pin,
            # A fork would inherit CUDA, threads of collectives and the lease's lock.
            multiprocessing_context="spawn" if workers else None,
            generator=torch.Generator(),  # otherwise each loader would use the generator of dropout
        )
        if not workers:
            self._batches = iter(loader)
            return
        others = set(active_children())
        with _signals_blocked():
            self._batches = iter(loader)
        # On exit, Python sends SIGTERM to its processes, which these ignore, and waits for them.
        atexit.register(_kill, set(active_children()) - others)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        try:
            return next(self._batches)
        except (StopIteration, AscentError):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise AscentError(
                f"a batch could not be read ({reason}); give the job more memory, or set running.loader_workers: 0."
            ) from error


class _Steps:
    """The rows of each batch, beginning at a step."""

    def __init__(self, schedule: Schedule, start: int):
        self._schedule, self._start = schedule, start

    def __len__(self) -> int:
        return len(self._schedule) - self._start

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._schedule[step] for step in range(self._start, len(self._schedule)))


class _Shares(Dataset):
    """Returns a process's share of the batch of some rows."""

    def __init__(self, data: TrainingData, rank: int, world: int):
        self._data, self._rank, self._world = data, rank, world

    def __getitem__(self, rows: np.ndarray) -> Batch:
        return self._data.batch(rows, rank=self._rank, world=self._world)


def _kill(workers: set[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start processes that ignore the signals that stop a run: they end with the process that started them.

    It still needs its batches: losing some in the middle of a step would cost the checkpoint.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    resource_tracker.ensure_running()  # which would otherwise unblock the signals while it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # torch raises an error wherever the program is when a worker ends; __next__ will report it anyway.
        signal.signal(signal.SIGCHLD, handler)
