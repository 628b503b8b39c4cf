"""Where a cluster binds tasks to processors, the launcher on each node of a training gets all that its job has."""

import os
import sys

import pytest

from cluster import BOUND, ClusterError
from support.small_recipe import ROOT

pytestmark = pytest.mark.slurm

# What a job runs: how many processors a step of it gets, by srun's default and by the launcher's command. Snakemake's
# executor leaves of SLURM's variables only those that name the job.
PROBE = """
import os, subprocess, sys
sys.path.insert(0, {scripts!r})
from ascent.training.job.launch import node_command

environment = {{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SRUN_"))}}
environment |= {{name: os.environ[name] for name in ("SLURM_JOB_ID", "SLURM_CONF")}}
sys.argv = ["-c", "import os; print(len(os.sched_getaffinity(0)))"]
launcher = node_command(1)
default = [word for word in launcher if not word.startswith("--cpu-bind")]
for command in (default, launcher):
    print(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
"""


def test_a_launcher_is_not_bound_to_one_of_its_jobs_processors(cluster, tmp_path):
    if os.cpu_count() < 2:
        pytest.skip("on one processor, one cannot be told from all")
    try:
        cluster.start_nodes(BOUND)
    except ClusterError as error:
        pytest.skip(f"this machine's SLURM has no node that binds tasks ({error}; see log/{BOUND} in its folder)")
    probe, output = tmp_path / "probe.py", tmp_path / "output"
    probe.write_text(PROBE.format(scripts=str(ROOT / "scripts")))
    size = ("--nodes=1", "--ntasks=1", "--cpus-per-task=2", "--mem=500", "--time=2")
    where = ("--account=my-team", "--partition=bound", f"--output={output}", f"--chdir={cluster.folder}")
    cluster.run("sbatch", "--wait", *size, *where, f"--wrap={sys.executable} {probe}")
    default, launcher = map(int, output.read_text().split())
    if default != 1:
        pytest.skip(f"this machine's SLURM binds no tasks: a step has {default} processors by default")
    assert launcher == 2
