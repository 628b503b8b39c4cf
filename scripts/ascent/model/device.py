"""Where a model computes: on the GPU that the job was given, else on the CPU."""

import os
import re
from pathlib import Path

import torch

from ..errors import AscentError

# The driver tells its version here.
DRIVER = Path("/proc/driver/nvidia/version")
# What says which GPUs a process was given; the first one that is set counts, even if it is empty.
GIVEN = ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


def find_device() -> torch.device:
    """Return the GPU if torch sees one, else the CPU.

    Raises AscentError if the job was given GPUs and torch sees none: it would compute on the CPU for days.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    variable = next((name for name in GIVEN if name in os.environ), None)
    if variable is None or os.environ[variable].strip() in ("", "-1"):
        return torch.device("cpu")
    built = next((f"for {name} {version}" for name, version in _platforms().items() if version), "without CUDA")
    raise AscentError(
        f"{variable}={os.environ[variable]}: names GPUs, but torch {torch.__version__}, built {built}, sees none"
        f" ({_driver()}); install a torch that this driver can run (docs/installation.md), or set CUDA_VISIBLE_DEVICES="
        " to compute on the CPU."
    )


def processors() -> int:
    """Return how many processors this process may use: those it is bound to, where the system binds."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _platforms() -> dict[str, str | None]:
    return {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}


def _driver() -> str:
    try:
        found = re.search(r"\s(\d{3,}\.[\d.]+)\s", DRIVER.read_text())
    except OSError:
        return "there is no NVIDIA driver"
    return f"NVIDIA driver {found[1]}" if found else "NVIDIA driver of an unknown version"
