"""Words of a SLURM profile: each is passed to sbatch as meant, or refused with the right spelling."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.resources import Resource

from ascent.errors import AscentError
from ascent.recipes.profiles import NAMES, check_profiles

ROOT = Path(__file__).parents[2]
PROFILE = (
    "default-resources:\n  slurm_account: {account}\nset-resources:\n  train_contrastive: &training\n    runtime:"
    " 1440\n"
)


def check(folder: Path, text: str) -> None:
    (folder / "profile.yaml").write_text(text)
    check_profiles(["snakemake", "--cores", "1", "--profile", str(folder), "--dry-run"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "slurm_partition: all",
            """slurm_partition: all would be Python's or Snakemake's own all; write it in two kinds of""",
        ),
        ("slurm_partition: 'max'", """quotes: "'max'"."""),
        ("slurm_partition: input", """quotes: "'input'"."""),
        ("slurm_partition: no", "YAML reads no as false; write false if that is meant, else 'no' in quotes."),
        ("slurm_account: 012345", "YAML reads 012345 as 5349; write 5349 if that is meant, else '012345' in quotes."),
        (
            "runtime: 24:00:00",
            "24:00:00 is a number for YAML, and would be minutes; write hours as 24h, days as 2d, or a number",
        ),
        ("gpu_model: a100-80gb", "`constraint: <feature>`"),
    ],
)
def test_a_word_that_would_be_misread_is_refused(tmp_path, line, told):
    rest = PROFILE.format(account="my-team") + f"    {line}\n  train_finetune: *training\n"
    with pytest.raises(AscentError) as refused:
        check(tmp_path, rest)
    assert str(refused.value).startswith(f"{tmp_path}/profile.yaml, line 6: ")
    assert told in str(refused.value)


def evaluated(name: str, text: str):
    """What Snakemake makes of a resource's value on its command line."""
    return Resource.cli_evaluator(name, text, wildcards=None, input=[], attempt=1, threads=1, async_run=None)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("slurm_partition: \"'all'\"", "all"),
        ("slurm_partition: gpu-long", "gpu-long"),
        ("slurm_partition: batch.short", "batch.short"),
        ('slurm_account: "012345"', "012345"),
        ("slurm_account: 12345", 12345),
        ("runtime: 24h", "24h"),
        ("mem_mb: 400_000", 400_000),
        ("mem_mb: 4000 * attempt", 4000),
        ("gpu_model: a100_80gb", "a100_80gb"),
        ("gres: gpu:h100:8", "gpu:h100:8"),
    ],
)
def test_the_right_spelling_reaches_sbatch(tmp_path, line, meant):
    """As Snakemake itself reads a profile and evaluates its values."""
    from snakemake.profiles import ProfileConfigFileParser

    text = f"default-resources:\n  {line}\n"
    check(tmp_path, text)
    with (tmp_path / "profile.yaml").open() as file:
        ((name, value),) = (entry.split("=", 1) for entry in ProfileConfigFileParser().parse(file)["default-resources"])
    assert evaluated(name, value) == meant


def test_every_name_that_snakemake_knows_is_known():
    """Each evaluates to something else than the word: of one that is missing here, a partition could not be."""
    import snakemake.ioutils

    namespace = {}
    snakemake.ioutils.register_in_globals(namespace)
    assert namespace.keys() <= NAMES
    assert evaluated("slurm_partition", "all") is all


@pytest.mark.parametrize("name", ["slurm", "default"])
def test_the_profiles_here_are_read_as_meant(name):
    check_profiles(["snakemake", "--profile", str(ROOT / "profiles" / name)])


def test_the_profile_of_the_environment_is_read(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("default-resources:\n  runtime: 1:00:00\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
    with pytest.raises(AscentError, match="line 2: runtime: 1:00:00 is a number for YAML"):
        check_profiles(["snakemake"])


SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py") if path.name != "generate_environments.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_outside_the_environment_says_so(script, tmp_path):
    """By a Python without packages."""
    # One finds out when it begins its work.
    arguments = (
        ["--task", "STS12", "--output", "texts", "--documents", "pool"] if script == "list_evaluation_texts.py" else []
    )
    command = [sys.executable, "-S", "-E", ROOT / "scripts" / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {sys.executable}: has no package '")
    assert line.endswith("run this in Ascent's environment, by `source .venv/bin/activate` (docs/installation.md).")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.slow
def test_the_snakefile_outside_the_environment_says_so(tmp_path):
    """By a Snakemake whose Python lacks pydantic; its own environment may be another."""
    for name in ("rules", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "Snakefile").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'pydantic' else find(name, *more)\n"
        'include: "rules/places.smk"\n'
        'include: "rules/environment.smk"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"error: {sys.executable}: has no package 'pydantic'; run this in" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
