"""The workflow run from another folder, and as a module of another: nothing of it is copied, nothing written beside
it."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from support.small_recipe import ROOT

pytestmark = pytest.mark.workflow

PAIRS = "results/corpora/similar/pairs-00000-of-00001.parquet"
MODULE = """
configfile: {config!r}

module ascent:
    snakefile: {snakefile!r}
    config: config

use rule * from ascent

rule count_pairs:
    input: {pairs!r}
    output: "counted.txt"
    shell: "ls -l {{input}} > {{output}}"
"""


def snakemake(python: str, folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # rules call `python`
    done = subprocess.run(
        [python, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_another_workflow_uses_it_as_a_module(material, warm_python, tmp_path):
    text = MODULE.format(config=str(material), snakefile=str(ROOT / "Snakefile"), pairs=PAIRS)
    (tmp_path / "Snakefile").write_text(text)
    planned = snakemake(warm_python, tmp_path, "--dry-run", "results/small/release/README.md")
    assert "rule train_finetune:" in planned and "rule check_leakage:" in planned
    snakemake(warm_python, tmp_path, "counted.txt")
    assert PAIRS in (tmp_path / "counted.txt").read_text()
    assert set(pl.read_parquet(tmp_path / PAIRS)["task"]) == {"sts"}


def test_it_runs_in_another_folder(material, warm_python, tmp_path):
    elsewhere = ("--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path / "project"))
    # Without a configuration there, the workflow's own: its catalogue and its demo.
    assert "would run release_model demo:" in snakemake(warm_python, tmp_path, *elsewhere, "--dry-run")
    snakemake(warm_python, tmp_path, *elsewhere, "--configfile", str(material), "--", PAIRS)
    assert (tmp_path / "project" / PAIRS).is_file()
    assert not (ROOT / PAIRS).exists()
