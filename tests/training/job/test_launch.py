"""How the processes of a training step are started; that they train the same is in test_training.py."""

import signal
import subprocess
import sys

import pytest
import torch
from torch.distributed.run import config_from_args, parse_args

from ascent.errors import AscentError
from ascent.model import device
from ascent.training.job import distributed
from ascent.training.job import launch as launching
from ascent.training.job.distributed import describe_processes
from ascent.training.job.launch import SHUTDOWN_SECONDS, launch, torchrun_arguments

STEP = {"ASCENT_PORT": "20042", "SLURM_JOB_ID": "42", "SLURM_NODEID": "1", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7"}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", *STEP, "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_is_alone_or_was_launched_goes_on(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launch(1) is None
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert launch(2) is None


def test_several_nodes_outside_slurm_are_refused():
    with pytest.raises(AscentError, match="--nodes 2: several nodes are entered by SLURM only"):
        launch(2)


def test_nodes_are_entered_with_all_processors_of_the_job(monkeypatch):
    """One task a node, which nothing binds: the default is one processor for a launcher and its eight trainers."""
    monkeypatch.setattr(sys, "argv", ["scripts/train_stage.py", "--nodes", "2"])
    monkeypatch.setenv("SLURM_JOB_ID", "20042")
    called = {}

    def run(command, env, check):
        called.update(command=command, port=env["ASCENT_PORT"])
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(launching.subprocess, "run", run)
    assert launch(2) == 3
    *srun, python, script, option, value = called["command"]
    assert srun == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--cpu-bind=none"]
    assert (python, script, option, value) == (sys.executable, "scripts/train_stage.py", "--nodes", "2")
    assert called["port"] == "20042"


def test_torchrun_meets_at_the_first_node_and_forwards_signals(monkeypatch):
    """As torchrun itself reads the arguments."""
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PET_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    monkeypatch.setattr(sys, "argv", ["train.py", "--nodes", "2", "--tokens", "a", "b"])
    config, program, arguments = config_from_args(parse_args(torchrun_arguments(2, 8)))
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node, config.max_restarts) == (2, 2, 8, 0)
    assert (config.rdzv_backend, config.rdzv_endpoint, config.run_id) == ("static", "10.0.0.7:20042", "42")
    assert config.rdzv_configs == {"rank": 1, "timeout": "900"}
    assert set(config.signals_to_handle.split(",")) == {"SIGTERM", "SIGINT", "SIGUSR1"}
    assert config.shutdown_timeout == SHUTDOWN_SECONDS
    assert (program, arguments) == (sys.executable, ["-u", "train.py", "--nodes", "2", "--tokens", "a", "b"])


PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, {scripts!r})
from pathlib import Path
if "RANK" not in os.environ:
    from ascent.training.job.launch import _start_processes
    raise SystemExit(_start_processes(1, 2))
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(True))
Path(sys.argv[1], os.environ["RANK"]).touch()
while not asked:
    time.sleep(0.01)
if os.environ["RANK"] == "0":
    print("error: stopped", os.environ["OMP_NUM_THREADS"], file=sys.stderr)
raise SystemExit(1)
"""


@pytest.mark.slow
def test_of_processes_that_are_stopped_only_their_own_words_are_told(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(scripts=launching.__file__.split("/ascent/")[0]))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    process = subprocess.Popen([sys.executable, program, tmp_path], stderr=subprocess.PIPE, text=True)
    while not all((tmp_path / rank).exists() for rank in "01"):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGUSR1)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (1, "error: stopped 5\n")


@pytest.fixture
def blind(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # as it is where torch is a CPU build


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, "CUDA_VISIBLE_DEVICES=0,1"),
        ({"SLURM_JOB_GPUS": "3"}, "SLURM_JOB_GPUS=3"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937", "SLURM_JOB_GPUS": "3"}, "CUDA_VISIBLE_DEVICES=GPU-8932f937"),
    ],
)
def test_gpus_that_torch_does_not_see_are_refused(monkeypatch, blind, given, shown):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AscentError) as refused:
        launch(1)
    text = str(refused.value)
    assert text.startswith(f"{shown}: names GPUs, but torch {torch.__version__}, built ")
    assert (torch.version.cuda or "without CUDA") in text
    assert "NVIDIA driver" in text and "set CUDA_VISIBLE_DEVICES= to compute on the CPU." in text


@pytest.mark.parametrize(
    "given", [{}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "-1", "SLURM_JOB_GPUS": "3"}]
)
def test_no_gpus_are_no_error(monkeypatch, blind, given):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert launch(1) is None


def test_the_driver_is_named(monkeypatch, blind, tmp_path):
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.3.0\n"
    )
    monkeypatch.setattr(device, "DRIVER", tmp_path / "version")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(AscentError, match=r"NVIDIA driver 550\.54\.15"):
        device.find_device()


@pytest.mark.parametrize(("bound", "few"), [(96, False), (8, False), (1, True)])
def test_the_line_at_the_start_tells_the_processors(monkeypatch, bound, few):
    monkeypatch.setattr(distributed, "processors", lambda: bound)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    line = describe_processes(torch.device("cpu"))
    assert f"16 processes on CPU; 8 of them on this node, with {bound} of its processors" in line
    assert ("too few" in line) == few
