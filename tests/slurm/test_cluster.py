"""The small recipe by SLURM: where its jobs run and what they get, and training on two nodes."""

import json
import re
import shutil

import pytest
import yaml
from safetensors.numpy import load_file

from runs import begun_early, job_of
from support.small_recipe import ROOT

pytestmark = pytest.mark.slurm

# Each rule's jobs in the small recipe.
ON_GPU = {"score_pairs": 1, "train_contrastive": 1, "train_finetune": 1, "encode_shard": 2, "evaluate_task": 4}
ON_CPU = {
    "normalise_corpus": 2,
    "mine_negatives": 1,
    "tokenise_pairs": 2,
    "merge_stages": 1,
    "compare_stages": 1,
    "release_model": 1,
}


def resources(job: dict[str, str]) -> dict[str, str]:
    return dict(pair.split("=") for pair in job["AllocTRES"].split(","))


def test_every_job_ran_once_and_to_its_end(finished):
    jobs = finished.jobs()
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert len({job["Comment"] for job in jobs}) == len(jobs)
    assert (finished / "results/small/release/model.safetensors").exists()


@pytest.mark.parametrize(("rule", "count"), ON_GPU.items())
def test_a_step_that_uses_a_gpu_gets_it(finished, rule, count):
    jobs = job_of(rule, finished.jobs())
    assert len(jobs) == count
    for job in jobs:
        assert job["Partition"] == "gpu"
        assert resources(job).items() >= {"gres/gpu": "1", "gres/gpu:h100": "1", "node": "1"}.items()
        assert int(resources(job)["cpu"]) == (96 if rule.startswith("train") else 12)


@pytest.mark.parametrize(("rule", "count"), ON_CPU.items())
def test_another_step_holds_no_gpu(finished, rule, count):
    jobs = job_of(rule, finished.jobs())
    assert len(jobs) == count
    for job in jobs:
        assert job["Partition"] == "cpu"
        assert "gres/gpu" not in resources(job)


def test_settings_are_written_without_a_job(finished):
    assert job_of("write_settings", finished.jobs()) == []
    assert (finished / "results/small/contrastive/stage.yaml").exists()


def test_how_well_jobs_used_what_they_had_is_told(finished):
    (report,) = finished.folder.glob("logs/slurm/efficiency_report_*.csv")
    assert "rule_train_contrastive_wildcards_small_contrastive" in report.read_text()


def two_nodes() -> dict:
    """The entry of profiles/slurm/README.md, with a GPU and fewer processors of each node: two cores are not 16
    GPUs."""
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "profiles/slurm/README.md").read_text(), re.DOTALL)
    return yaml.safe_load(block)["train_contrastive"] | {"gres": "gpu:h100:1", "cpus_per_task": 4}


@begun_early
def test_two_nodes_give_the_weights_of_one(finished, untrained):
    """After one step. The norm of the gradient is compared too: the first step of AdamW is blind to its scale."""
    stage = untrained / "results/once/contrastive"
    what = ("results/once/contrastive/model", "--forcerun", "train_contrastive", "--config", "recipes=[once]")

    def trained() -> tuple[dict, dict]:
        (line,) = (stage / "metrics.jsonl").read_text().splitlines()
        return load_file(stage / "model/model.safetensors"), json.loads(line)

    local = untrained.build(*what)
    assert local.returncode == 0, local.stdout
    one, metrics_of_one = trained()
    shutil.rmtree(stage / "checkpoints")  # else what was made would be put in place again
    untrained.replace(train_contrastive=two_nodes())
    untrained.start(*what).finish()
    two, metrics_of_two = trained()
    (job,) = job_of("train_contrastive", untrained.jobs())
    told = (untrained / "logs/once/contrastive/train_contrastive.log").read_text()
    assert "2 processes on CPU; 1 of them on this node, with " in told, told
    assert job["NodeList"].startswith("gpu[")
    assert resources(job).items() >= {"gres/gpu": "2", "node": "2"}.items()
    for name in ("loss", "gradient_norm"):
        assert metrics_of_two[name] == pytest.approx(metrics_of_one[name], rel=1e-5), name
    assert one.keys() == two.keys()
    # A quarter of the learning rate, by which a gradient that one process lacks moves a weight or more.
    for name, weights in one.items():
        assert abs(weights - two[name]).max() < 5e-6, name
