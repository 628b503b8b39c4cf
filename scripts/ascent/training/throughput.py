"""How much of what a device can do a training step does."""

import time
from pathlib import Path

import torch

from ..errors import AscentError
from ..model.shape import Shape, read_shape, step_flops
from ..settings.training import TrainStage
from .engine import StepResult

# Square matrices that keep a device busy: a CPU's cores, a GPU's multiprocessors.
CPU_SIZE, GPU_SIZE = 2048, 8192
REPEATS = 5


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest of a few products of square matrices on this device, as busy as it is now."""
    size = GPU_SIZE if device.type == "cuda" else CPU_SIZE
    a, b = (torch.full((size, size), 0.5, dtype=dtype, device=device) for _ in range(2))
    seconds = []
    for _ in range(REPEATS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Throughput:
    """Turns a step's seconds into rates: of real tokens, of pairs or texts, and of the model's FLOPs.

    The model's FLOPs are costs.step_flops; padding and what is computed twice for want of memory are
    left out, so `mfu`, their share of the matmul peak of all processes, is that of PaLM (arXiv 2204.02311, appendix B).
    """

    def __init__(self, parent: Path, stage: TrainStage, device: torch.device, dtype: torch.dtype, processes: int):
        self._stage = stage
        self._shape: Shape | None
        try:
            self._shape = read_shape(parent)
        except AscentError:  # a form whose costs are not known is trained all the same
            self._shape = None
        self._peak = matmul_peak(device, dtype) * processes

    def of(self, result: StepResult, rows: int, seconds: float) -> dict[str, float]:
        """Return the rates of a step of `rows` pairs or texts."""
        rates = {"tokens_per_second": result.tokens / seconds, f"{result.unit}_per_second": rows / seconds}
        if self._shape:
            flops = step_flops(self._shape, self._stage, result.tokens, result.squares)
            rates |= {"flops_per_second": flops / seconds, "mfu": flops / seconds / self._peak}
        return rates
