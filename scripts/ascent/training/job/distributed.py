"""The processes of a job, and DeepSpeed, whose peculiarities are all handled here."""

import logging
import os
import time
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.cpp_extension import _get_build_directory

from ...model.device import find_device, processors
from .lease import PATIENCE_SECONDS

# Mini-batches differ in their tokens, which cuts up the GPU's memory where it is held in segments of fixed sizes.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # its older name
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed looks for one, and warns
import deepspeed

# Processes wait for the first one while it takes the lease, and while it converts a checkpoint.
WAIT = timedelta(seconds=PATIENCE_SECONDS + 600)
# A compiler is considered dead if nothing changed in its folder for this long. The longest file takes a minute or two.
DEAD_SECONDS = 600.0


def start_processes() -> torch.device:
    """Join the other processes of this job, if there are any; return this process's device.

    The launcher (training/job/launch.py, torchrun, deepspeed) describes them in RANK, WORLD_SIZE and LOCAL_RANK.
    Raises AscentError if torch sees none of the GPUs that the job was given.
    """
    device = find_device()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=WAIT)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")  # DeepSpeed needs them
    return device


def describe_processes(device: torch.device) -> str:
    """Return a line on the processes of this job, their device, and the processors that they share on this node."""
    world, local = dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    line = (
        f"{world} process{'es' * (world > 1)} on {name}; {local} of them on this node, with {processors()} of its"
        " processors"
    )
    return line + (": too few, see cpus_per_task in profiles/slurm/README.md" if processors() < local else "")


def start_deepspeed() -> None:
    """Let DeepSpeed use the processes, without its log."""
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # On a CPU DeepSpeed would compile a shared-memory extension (41 s the first time); gloo does its work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="torch.distributed"
    )  # DeepSpeed's use of older names
    deepspeed.init_distributed(dist_init_required=False, verbose=False)


def await_compilers() -> None:
    """Wait until no process compiles an extension; remove the lock of one that was killed, which torch would wait for
    forever."""
    for lock in Path(_get_build_directory("cpu_adam", verbose=False)).parent.glob("*/lock"):
        while lock.exists():
            if time.time() - lock.parent.stat().st_mtime > DEAD_SECONDS:
                print(f"{lock}: removed, since the compiler that held it was killed", flush=True)
                lock.unlink(missing_ok=True)
            else:
                time.sleep(0.5)
