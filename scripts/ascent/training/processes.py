"""The processes of a job, and DeepSpeed among them."""

import logging
import os
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist

from .lease import PATIENCE_SECONDS

# Processes wait for the first one while it takes the lease, and while it converts a checkpoint.
WAIT = timedelta(seconds=PATIENCE_SECONDS + 600)


def start_processes() -> torch.device:
    """Join the other processes of this job, or be alone; return this process's device.

    The launcher (training/launch.py, torchrun, deepspeed) says in RANK, WORLD_SIZE and LOCAL_RANK who else there is.
    """
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=WAIT)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")  # DeepSpeed asks for them
    return device


def start_deepspeed() -> None:
    """Let DeepSpeed use the processes, quietly."""
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # On a CPU DeepSpeed would compile a shared-memory extension (41 s the first time); gloo does its work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")  # DeepSpeed's use of older names
    deepspeed.init_distributed(dist_init_required=False, verbose=False)
