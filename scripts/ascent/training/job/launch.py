"""Start the processes of a training step: one per GPU, on one or several nodes."""

import logging
import os
import subprocess
import sys

from ...errors import AscentError

# How long a process may take to finish its step and write a checkpoint after SIGTERM; torch's default of 30 s is too
# short for large ones.
SHUTDOWN_SECONDS = 900


def launch(nodes: int) -> int | None:
    """Run this command line once per GPU of each node and return the exit status; return None if it should run in this
    process.

    That is the case for a process that a launcher started (RANK is set), and on one node with at most one GPU. Several
    nodes are entered with SLURM's srun, and processes meet at the first node's address.

    Raises AscentError if torch sees none of the GPUs that the job was given, see model/device.py.
    """
    if "RANK" in os.environ:
        return None
    if nodes > 1 and "ASCENT_PORT" not in os.environ:
        return _enter_nodes(nodes)
    import torch

    from ...model.device import find_device

    processes = torch.cuda.device_count() if find_device().type == "cuda" else 1
    if nodes == 1 and processes == 1:
        return None
    return _start_processes(nodes, processes)


def node_command(nodes: int) -> list[str]:
    """Return the command that runs this command line once on each node of a SLURM job."""
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    # A step gets all processors of its job, but a task is bound to one of them unless srun is told otherwise. Not by
    # --cpus-per-task: where nothing is bound, no variable or affinity says what the job may ask for.
    return [*command, "--cpu-bind=none", sys.executable, *sys.argv]


def torchrun_arguments(nodes: int, processes: int) -> list[str]:
    """Return torchrun's arguments for this node's processes, in a job of one node or of several."""
    arguments = [f"--nnodes={nodes}", f"--nproc-per-node={processes}", "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1"]
    if nodes == 1:
        arguments += ["--standalone"]
    else:
        # srun was called on the first node, so its launch address is the first node's.
        meeting = f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{os.environ['ASCENT_PORT']}"
        arguments += ["--rdzv-backend=static", f"--rdzv-endpoint={meeting}", "--rdzv-conf=timeout=900"]
        arguments += [f"--node-rank={os.environ['SLURM_NODEID']}", f"--rdzv-id={os.environ['SLURM_JOB_ID']}"]
    return [*arguments, *sys.argv]


def _enter_nodes(nodes: int) -> int:
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        raise AscentError(f"--nodes {nodes}: several nodes are entered by SLURM only; use one node, or profiles/slurm.")
    # Two jobs that share a node have different ids, so they use different ports.
    environment = os.environ | {"ASCENT_PORT": str(20000 + int(job) % 20000)}
    return subprocess.run(node_command(nodes), env=environment, check=False).returncode


def _start_processes(nodes: int, processes: int) -> int:
    """Run torchrun in this process, for its words: those of a process that ends are enough."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from ...model.device import processors

    # A process reports in one line why it ends; torchrun's own report would bury that line.
    for name in ("torch.distributed.run", "torch.distributed.elastic"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    # As a variable, since torch 2.10 lacks the argument.
    os.environ["PET_SHUTDOWN_TIMEOUT"] = str(SHUTDOWN_SECONDS)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // processes)))
    try:
        torchrun.run(torchrun.parse_args(torchrun_arguments(nodes, processes)))
    except (ChildFailedError, SignalException):
        return 1
    return 0
