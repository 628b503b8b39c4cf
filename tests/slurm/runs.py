"""A run of Snakemake on the cluster, in a copy of the repository."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from cluster import Cluster, wait_for
from support.workflow_copy import Copy

# Jobs at once: two cores have little use for more. Seconds to the first look at a job and, by DISTURBED, to the next.
# Seconds in which files come through a network, which does not exist.
HASTE = ("--jobs", "3", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")
PROFILE = "profiles/slurm/profile.yaml"

# Imported by Snakemake, whose looks at a job would be ten seconds further apart each time, and by every Python of a
# job. After the checkpoint HOLD_AT, training waits to be disturbed: for HOLD_SECONDS, or until a signal or another run
# asks it to stop. After HOARD_AT it takes 2 GB that it never gives back.
DISTURBED = """
import os, signal, sys, time

# The cluster's GPUs are virtual: torch sees none of them, which a step refuses.
for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
    os.environ.pop(name, None)

if "snakemake" in sys.orig_argv:
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
    RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)

def hold(seconds, request):
    asked = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    for number, handler in handlers.items():
        signal.signal(number, lambda *signal, handler=handler: (asked.append(True), handler(*signal)))
    end = time.monotonic() + seconds
    while not asked and not os.path.exists(request) and time.monotonic() < end:
        time.sleep(0.1)
    for number, handler in handlers.items():
        signal.signal(number, handler)

replace = os.replace
def disturbed(source, target, **options):
    replace(source, target, **options)
    name = os.path.basename(target)
    if name == os.environ.get("HOARD_AT"):
        hoard = b"." * 2_000_000_000
    if name in (os.environ.get("HOARD_AT"), os.environ.get("HOLD_AT")):
        hold(float(os.environ.get("HOLD_SECONDS", 300)), os.path.join(os.path.dirname(target), "request.json"))
os.replace = disturbed
"""


class ClusterCopy(Copy):
    """A copy of the repository, and the runs in it by profiles/slurm."""

    def __init__(self, folder: Path, config: Path, cluster: Cluster, python: str = sys.executable):
        super().__init__(folder, config, python)
        self.cluster = cluster
        self.runs: list[Run] = []
        self.edit(train_contrastive={"gpu": 1}, train_finetune={"gpu": 1})  # two cores are not eight GPUs
        (self / "disturbed").mkdir()
        (self / "disturbed/sitecustomize.py").write_text(DISTURBED)

    def edit(self, **rules: dict) -> None:
        """Change lines of rules under set-resources in this copy's profile."""
        now = yaml.safe_load((self / PROFILE).read_text())["set-resources"]
        self.replace(**{rule: now[rule] | lines for rule, lines in rules.items()})

    def replace(self, **rules: dict) -> None:
        """Change whole entries of set-resources in this copy's profile."""
        profile = yaml.safe_load((self / PROFILE).read_text())
        profile["set-resources"] |= rules
        (self / PROFILE).write_text(yaml.safe_dump(profile, sort_keys=False))

    def start(self, *arguments: str, **environment: str) -> "Run":
        """Start Snakemake."""
        command = (
            self.python,
            "-m",
            "snakemake",
            "--profile",
            "profiles/slurm",
            "--configfile",
            str(self.config),
            *HASTE,
        )
        environment = (
            self.cluster.environment
            | {"PATH": self.path, "PYTHONPATH": "disturbed", "HF_HUB_OFFLINE": "1"}
            | environment
        )
        self.runs.append(
            Run(self.folder / f"printed-{len(self.runs)}.log", (*command, *arguments), self.folder, environment)
        )
        return self.runs[-1]

    def end(self) -> None:
        """End the runs that a failed test leaves behind, and their jobs."""
        for run in self.runs:
            run.kill()
        for job in self.jobs(now=True):
            self.cluster.run("scancel", job["JobID"])

    def jobs(self, now: bool = False) -> list[dict[str, str]]:
        """This copy's SLURM jobs: those that have ended, a requeued one once for each of its starts; or those of
        now."""
        jobs = self.cluster.squeue() if now else self.cluster.sacct()
        return [job for job in jobs if job["WorkDir"] == str(self.folder)]


class Run:
    """A Snakemake that runs, and what it prints."""

    def __init__(self, printed: Path, command: tuple[str, ...], folder: Path, environment: dict[str, str]):
        self.printed = printed
        with printed.open("w") as file:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        return self.printed.read_text()

    def finish(self, seconds: float = 600) -> str:
        """Wait for the end; return what was printed. Fails when Snakemake does."""
        wait_for(lambda: self.process.poll() is not None, seconds, "the end of Snakemake")
        assert self.process.returncode == 0, self.output
        return self.output

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def job_of(rule: str, jobs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The jobs of a rule, in the order of their start."""
    return [job for job in jobs if re.match(rf"rule_{rule}(_wildcards_|$)", job["Comment"])]


def begun_early(work: Callable[[ClusterCopy, ClusterCopy], None]) -> Callable:
    """A test whose work is mostly waiting: the fixture `begun` starts it beside the others', the test waits for its
    end.

    The work gets the finished workspace, and a copy of it in which the stage `contrastive` is not there yet.
    """

    def test(begun, request):
        begun[request.node].result()

    test.work, test.__doc__ = work, work.__doc__
    return test
