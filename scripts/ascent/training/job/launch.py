"""Start the processes of a training step: one per GPU, on one or several nodes."""

import logging
import os
import subprocess
import sys
from dataclasses import fields

from ...errors import AscentError

# How long a process may take to finish its step and write a checkpoint after SIGTERM; torch's default of 30 s is too
# short for large ones.
SHUTDOWN_SECONDS = 900


def launch(nodes: int) -> int | None:
    """Run this command line once per GPU of each node and return the exit status; return None if it should run in this
    process.

    That is the case for a process that a launcher started (RANK is set), and on one node with at most one GPU. Several
    nodes are entered with SLURM's srun, and processes meet at the first node's address.
    """
    if "RANK" in os.environ:
        return None
    entered = "ASCENT_PORT" in os.environ
    if nodes > 1 and not entered:
        return _enter_nodes(nodes)
    processes = len(visible_gpus()) or 1
    if nodes == 1 and processes == 1:
        return None
    return _start_processes(nodes, processes)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES if set, else all of the machine."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _enter_nodes(nodes: int) -> int:
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        raise AscentError(f"--nodes {nodes}: several nodes are entered by SLURM only; use one node, or profiles/slurm.")
    # Two jobs that share a node have different ids, so they use different ports.
    environment = os.environ | {"ASCENT_PORT": str(20000 + int(job) % 20000)}
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return subprocess.run([*command, sys.executable, *sys.argv], env=environment, check=False).returncode


def _start_processes(nodes: int, processes: int) -> int:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # A process reports in one line why it ends; torch's own report would bury that line.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.distributed.elastic").propagate = False
    # srun was called on the first node, so its launch address is the first node's.
    meeting = f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{os.environ['ASCENT_PORT']}" if nodes > 1 else "localhost:0"
    options = {
        "min_nodes": nodes,
        "max_nodes": nodes,
        "nproc_per_node": processes,
        "rdzv_backend": "static" if nodes > 1 else "c10d",
        "rdzv_endpoint": meeting,
        "rdzv_configs": {"rank": int(os.environ["SLURM_NODEID"]), "timeout": 900} if nodes > 1 else {},
        "run_id": os.environ.get("SLURM_JOB_ID", "local"),
        "max_restarts": 0,
        "signals_to_handle": "SIGTERM,SIGINT,SIGUSR1",
        "shutdown_timeout": SHUTDOWN_SECONDS,
    }
    known = {field.name for field in fields(LaunchConfig)}  # torch 2.10 lacks the last one
    try:
        config = LaunchConfig(**{name: value for name, value in options.items() if name in known})
        elastic_launch(config, sys.executable)("-u", *sys.argv)
    except (ChildFailedError, SignalException):
        return 1
    return 0
