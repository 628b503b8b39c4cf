"""One cluster and one finished workspace for all tests of this folder."""

import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from cluster import Cluster, missing
from runs import ClusterCopy
from support.small_recipe import make_workspace

# Trainings that are disturbed at a time. Each is at work for half a minute, on one of two cores, and otherwise waits.
AT_ONCE = 3


@pytest.fixture(scope="session")
def cluster():
    if reason := missing():
        pytest.skip(reason)
    # A short path: that of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, Cluster(Path(folder)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """The small recipe in thirteen steps with a checkpoint after each, fewer evaluations; and `once`, a single step."""
    config = make_workspace(tmp_path_factory.mktemp("small"))
    recipe = yaml.safe_load(config.with_name("small.yaml").read_text())
    recipe["stages"]["contrastive"] |= {"epochs": 2, "mini_batch_tokens": 16384}
    recipe["running"] = {"checkpoint_steps": 1}
    recipe["evaluate"]["stages"] = ["base", "merge"]
    del recipe["evaluate"]["tasks"]["Modules"]
    config.with_name("small.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    # AdamW's first step divides the gradient by its own size and so enlarges the rounding of a tiny one, to a tenth
    # of the learning rate.
    once = {"epochs": 1, "batch_size": 1000, "learning_rate": 2e-5, "precision": "float32", "dropout": 0}
    recipe["stages"]["contrastive"] |= once
    config.with_name("once.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return config


@pytest.fixture(scope="session")
def finished(cluster, workspace, warm_python, tmp_path_factory) -> ClusterCopy:
    """The small recipe, built by the cluster, undisturbed.

    Its processes start warm. SLURM neither signals nor counts a warm process's own ones, so those of disturbed runs
    start cold."""
    copy = ClusterCopy(tmp_path_factory.mktemp("finished") / "ascent", workspace, cluster, warm_python)
    copy.start().finish(900)
    yield copy
    copy.end()


@pytest.fixture(scope="session")
def begun(request, finished, tmp_path_factory) -> dict[pytest.Item, Future]:
    """The work of those tests that are `begun_early`, some at a time; each in a copy of its own."""

    def work(test: pytest.Item) -> None:
        copy = untrained(finished, tmp_path_factory.mktemp(test.name) / "ascent")
        try:
            test.function.work(finished, copy)
        finally:
            copy.end()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {test: pool.submit(work, test) for test in request.session.items if hasattr(test.function, "work")}
        pool.shutdown(cancel_futures=True)


def untrained(finished: ClusterCopy, folder: Path) -> ClusterCopy:
    """A copy of the finished workspace in which the stage `contrastive` is not there yet."""
    copy = ClusterCopy(folder, finished.config, finished.cluster)
    for name in ("results", "resources", ".snakemake"):
        shutil.copytree(finished / name, copy / name)
    for path in ("model", "metrics.jsonl", "deepspeed.json", "checkpoints"):
        remove = copy / f"results/small/contrastive/{path}"
        shutil.rmtree(remove) if remove.is_dir() else remove.unlink()
    return copy
