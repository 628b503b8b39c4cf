"""Errors of other trainers, which the comparison of gradients must catch.

Each is put into the batch or the engine just before the backward pass, and returns the batch and what takes the error
back, if anything must."""

from collections.abc import Callable
from dataclasses import replace

import torch


def _missing_factor(engine, batch, world):
    return replace(batch, global_rows=batch.global_rows * world), None


def _doubled_factor(engine, batch, world):
    return replace(batch, global_rows=batch.global_rows / world), None


def _detached_remote_block(engine, batch, world):
    """What other processes say of one's candidates is lost."""
    from ascent.losses import ring

    real, own = ring.pass_on, []

    def lossy(tensors, sizes, hop):
        if len(tensors) == 1 and hop == 0:
            own.append(tensors[0].clone())
        arrived = real(tensors, sizes, hop)
        return (lambda: (arrived(), [own.pop()])[1]) if len(tensors) == 1 and hop == len(sizes) - 1 else arrived

    ring.pass_on = lossy
    return batch, lambda: setattr(ring, "pass_on", real)


def _duplicate_kept(engine, batch, world):
    """Equal texts count as different ones, but for a row's own positive."""
    first = 10**6 * (1 + int(batch.numbers[0]))
    ids = torch.arange(first, first + len(batch.document_ids))
    return replace(batch, document_ids=ids, answers=ids[: batch.rows, None]), None


def _repeated_backward(engine, batch, world):
    """All mini-batches keep their graphs, and each one's backward pass is taken for the step's last."""
    engine.set_gradient_accumulation_boundary = lambda _: None
    real, waiting = engine.backward, []
    engine.backward = waiting.append
    step = engine.step

    def late():
        for loss in waiting:
            real(loss)
        step()

    engine.step = late
    return batch, None


def _one_length(engine, batch, world):
    """The texts of a mini-batch are moved together, by one length."""
    from ascent.training import adversarial

    real = adversarial.steepest
    adversarial.steepest = lambda gradient, cumulative, epsilon: gradient * (epsilon / gradient.norm())
    return batch, lambda: setattr(adversarial, "steepest", real)


PLANTED: dict[str, Callable] = {
    "missing factor": _missing_factor,
    "doubled factor": _doubled_factor,
    "detached remote block": _detached_remote_block,
    "duplicate kept": _duplicate_kept,
    "repeated backward": _repeated_backward,
    "one length": _one_length,
}
