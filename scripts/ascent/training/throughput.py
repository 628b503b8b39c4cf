"""Training speed, and the share of the device's peak that it uses."""

import time
from pathlib import Path

import torch

from ..errors import AscentError
from ..model.shape import Shape, read_shape, step_flops
from ..settings.training import Training
from .engine import StepResult

# Sizes of square matrices that fully use a device: a CPU's cores, a GPU's multiprocessors.
CPU_SIZE, GPU_SIZE = 1024, 8192
REPEATS = 5


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest of a few products of square matrices on this device under its present load."""
    size = GPU_SIZE if device.type == "cuda" else CPU_SIZE
    # A product of constants takes less power, and so less time, than a model's.
    draw = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn((size, size), generator=draw, device=device).to(dtype) for _ in range(2))
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

    The model's FLOPs are shape.step_flops, without padding and recomputation; so `mfu`, their share of the matmul peak
    of all processes, is that of PaLM (arXiv 2204.02311, appendix B).
    """

    def __init__(self, parent: Path, stage: Training, device: torch.device, dtype: torch.dtype, processes: int):
        self._stage = stage
        self._shape: Shape | None
        try:
            self._shape = read_shape(parent)
        except AscentError:  # a model of unknown shape is trained without these rates
            self._shape = None
        self._peak = matmul_peak(device, dtype) * processes

    def rates(self, result: StepResult, rows: int, seconds: float) -> dict[str, float]:
        """Return the rates of a step of `rows` pairs or texts."""
        rates = {"tokens_per_second": result.tokens / seconds, f"{self._stage.unit}_per_second": rows / seconds}
        if self._shape:
            flops = step_flops(self._shape, self._stage, result.tokens, result.squares)
            rates |= {"flops_per_second": flops / seconds, "mfu": flops / seconds / self._peak}
        return rates
