"""How the processes of a training step are started; that they train the same is in test_training.py."""

import pytest

from ascent.errors import AscentError
from ascent.training.job.launch import launch, visible_gpus


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", "ASCENT_PORT", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("visible", "count"), [("0,1,2,3", 4), ("GPU-8932f937,GPU-1a2b", 2), ("", 0), ("-1", 0), ("3", 1)])
def test_the_job_says_which_gpus_are_its_own(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(visible_gpus()) == count


def test_a_process_that_is_alone_or_was_launched_goes_on(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launch(1) is None
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert launch(2) is None


def test_several_nodes_outside_slurm_are_refused():
    with pytest.raises(AscentError, match="--nodes 2: several nodes are entered by SLURM only"):
        launch(2)
