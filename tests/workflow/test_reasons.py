"""Why a job runs, where Snakemake itself would forget it."""

import shutil
import subprocess
import sys

import pytest

from support.workflow_copy import ROOT

# `train` takes what `write` makes, which runs again, as `ancient`.
SNAKEFILE = """
include: "rules/reasons.smk"

rule all:
    input: "scores.txt"

rule write:
    output: "running.txt"
    params: text=config["running"]
    shell: "echo {params.text} > {output}"

rule train:
    input: ancient("running.txt")
    output: "model.txt"
    params: revision=config.get("revision", 1)
    shell: "test {config[fails]} = no && echo {params.revision} > {output}"

rule score:
    input: "model.txt"
    output: "scores.txt"
    shell: "cp {input} {output}"
"""


@pytest.fixture
def toy(tmp_path, warm_python):
    (tmp_path / "rules").mkdir()
    shutil.copy(ROOT / "rules/reasons.smk", tmp_path / "rules")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def run(*config: str) -> int:
        words = [warm_python, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--config", *config]
        return subprocess.run(words, cwd=tmp_path, stdout=sys.stderr).returncode

    return tmp_path, run


def test_what_failed_runs_though_settings_change_that_rerun_nothing(toy):
    """As a training that ran out of memory, with other `running`; or a generator at another address."""
    folder, run = toy
    assert run("running=8", "fails=yes") != 0
    assert run("running=4", "fails=no") == 0
    assert (folder / "running.txt").read_text() == "4\n" and (folder / "scores.txt").exists()
    # It still reruns nothing by itself.
    made = (folder / "model.txt").stat().st_mtime_ns
    assert run("running=2", "fails=yes") == 0
    assert (folder / "running.txt").read_text() == "2\n" and (folder / "model.txt").stat().st_mtime_ns == made


def test_a_raised_revision_is_seen_beside_settings_that_rerun_nothing(toy):
    folder, run = toy
    assert run("running=8", "fails=no") == 0
    assert run("running=4", "fails=no", "revision=2") == 0
    assert (folder / "scores.txt").read_text() == "2\n"
