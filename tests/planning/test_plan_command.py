"""The command that prints a plan."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.small_recipe import ROOT, make_workspace
from support.workflow_copy import Copy

# ---------------------------------------------------------------- the command line


def run(folder: Path, *arguments: str, code: str = "") -> subprocess.CompletedProcess:
    script = code or str(ROOT / "scripts" / "plan_recipe.py")
    command = [sys.executable, *(["-c"] if code else []), script, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_prints_a_plan_without_heavy_imports(workspace):
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(ROOT / 'scripts')!r}); "
        f"sys.argv = ['plan', '--configfile', 'config.yaml', '--recipe', 'small', '--gpu', 'a10g', '--gpus', '2']\n"
        f"try:\n    runpy.run_path({str(ROOT / 'scripts' / 'plan_recipe.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = run(workspace, code=code)
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.split())
    assert {"tokenizers", "safetensors", "ascent"} <= modules
    assert (
        modules & {"torch", "transformers", "datasets", "mteb", "deepspeed", "sentence_transformers", "faiss"} == set()
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 130
    assert "2 x a10g (nodes: 1): 24 GB and 70 TFLOP/s in bfloat16 each, 40% of it assumed" in lines[0]
    assert re.search(
        r"^train_finetune +finetune +1 +600 +[\d.]+ k +[\d.]+ [MG]FLOP +< 0.01 +[\d.]+ GB$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^finetune +[\d.]+ GB\* +[\d.]+ GB +[\d.]+ GB +[\d.]+ GB$", done.stdout, re.MULTILINE)


def test_an_unknown_recipe_is_one_clear_line(workspace):
    done = run(workspace, "--configfile", "config.yaml", "--recipe", "smal")
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: --recipe: there is no recipe 'smal' (" + f"{workspace}/smal.yaml); did you mean 'small'?\n"
    )


@pytest.mark.slow
def test_what_the_catalogue_says_is_planned_and_tasks_whose_rows_are_not_here_are_left_out(tmp_path):
    path = make_workspace(tmp_path)
    config = yaml.safe_load(path.read_text())
    for entry in (config["models"]["tiny"], config["corpora"]["library"]):
        entry["source"] = {"type": "hub", "id": "someone/something"}
    path.write_text(yaml.safe_dump(config))
    arguments = ("--configfile", str(path), "--recipe", "small")
    error = run(tmp_path, *arguments).stderr
    assert error.startswith("error: resources/models/tiny, results/prepared/questions-") and error.count("\n") == 1
    assert "say models.tiny.shape and corpora.library.size in the catalogue, a size like {rows:" in error
    shape = {"architecture": "bert", "layers": 2, "width": 32, "heads": 2, "inner": 64, "vocabulary": 2000}
    config["models"]["tiny"]["shape"] = shape
    config["corpora"]["library"]["size"] = {"rows": 4096, "query_tokens": 10, "positive_tokens": 20}
    path.write_text(yaml.safe_dump(config))
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    # 4,096 rows of 10 and 20 tokens, and two special tokens around each.
    assert re.search(r"^train_contrastive +contrastive +1 +8\.19 k +139 k ", done.stdout, re.MULTILINE), done.stdout
    left_out = [
        line for line in done.stdout.splitlines() if "LibraryRetrieval, Modules, Similar, whose rows are not" in line
    ]
    (command,) = [line.split("snakemake ")[1] for line in left_out]
    assert "results/corpora/similar/pairs-00000-of-00001.parquet" in command and "evaluate_task" not in done.stdout


@pytest.mark.workflow
def test_files_of_this_machine_are_planned_before_any_job_and_as_they_are_planned_after(warm_python, tmp_path):
    copy = Copy(tmp_path / "ascent", make_workspace(tmp_path), warm_python)
    arguments = ("--configfile", str(copy.config), "--recipe", "small")

    def training(plan: str) -> list[str]:
        return [line for line in plan.splitlines() if line.startswith(("Model tiny", "train_", "encode_shard"))]

    before = run(copy.folder, *arguments)
    assert before.returncode == 0, before.stderr
    assert re.search(r"Data set questions: 200 rows of [^ ]+/train.jsonl, .*before any filter", before.stdout)
    assert not (copy / "resources").exists() and "evaluate_task" not in before.stdout
    command = before.stdout.split("snakemake ")[1].splitlines()[0].replace("'", "").split()
    assert command[:2] == ["--cores", "1"]
    made = copy.build(*command[2:], HF_HUB_OFFLINE=os.environ.get("HF_HUB_OFFLINE", "1"))
    assert made.returncode == 0, made.stdout
    after = run(copy.folder, *arguments)
    assert after.returncode == 0, after.stderr
    assert "Data set questions: 200 rows of results/corpora/library/pairs-00000-of-00001.parquet." in after.stdout
    assert training(before.stdout) == training(after.stdout) != [] and "evaluate_task" in after.stdout
    assert not (copy / "results/small").exists()  # no step on a GPU was needed
