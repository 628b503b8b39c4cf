"""Training that is disturbed ends with the bytes of training that is not, and says what happened."""

import re
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import wait_for
from runs import ClusterCopy, Run, begun_early, job_of

pytestmark = pytest.mark.slurm

TARGET = "results/small/contrastive/model"
CHECKPOINTS = "results/small/contrastive/checkpoints"


def steps_done(copy: ClusterCopy) -> int:
    """The last step of which there is a checkpoint."""
    return max((int(path.stem.removeprefix("step-")) for path in (copy / CHECKPOINTS).glob("step-*.json")), default=0)


def running(copy: ClusterCopy) -> dict[str, str]:
    (job,) = job_of("train_contrastive", copy.jobs(now=True))
    return job


def train_a_little(copy: ClusterCopy, **environment: str) -> Run:
    """Start the training and wait until three steps are done, after which it waits to be disturbed."""
    run = copy.start(TARGET, **({"HOLD_AT": "step-00000003.json"} | environment))
    wait_for(lambda: steps_done(copy) == 3 or run.process.poll() is not None, 600, "three steps of training")
    assert run.process.poll() is None, run.output
    return run


@contextmanager
def recovery(finished: ClusterCopy, copy: ClusterCopy, what: str):
    """What is done inside must end with the undisturbed run's model, and run nothing but the training."""
    others = {path: path.stat().st_mtime_ns for path in finished_files(copy)}
    began = time.monotonic()
    yield
    print(f"recovered from {what} in {time.monotonic() - began:.0f} s")
    name = f"{TARGET}/model.safetensors"
    assert (copy / name).read_bytes() == (finished / name).read_bytes()
    assert {path.name for path in (copy / CHECKPOINTS).iterdir()} == {"finished", "owner.lock"}
    assert {job["Comment"].split("_wildcards_")[0] for job in copy.jobs()} == {"rule_train_contrastive"}
    assert {path: path.stat().st_mtime_ns for path in others} == others


def finished_files(copy: ClusterCopy) -> list[Path]:
    files = [path for folder in ("results", "resources") for path in (copy / folder).rglob("*") if path.is_file()]
    return [path for path in files if "contrastive" not in path.parts or "shards" in path.parts]


def log_of(copy: ClusterCopy) -> str:
    """What the last training told."""
    return (copy / "logs/small/contrastive/train_contrastive.log").read_text()


def went_on(copy: ClusterCopy, first: str, second: str = "COMPLETED", *, before: int = 4) -> list[dict[str, str]]:
    """The training started twice, ended so, and the second began where the first had stopped. Returns its starts."""
    starts = job_of("train_contrastive", copy.jobs())
    assert [job["State"].split()[0] for job in starts] == [first, second], starts
    log = log_of(copy)
    assert int(re.search(r"resuming from the checkpoint at step (\d+) of \d+", log)[1]) + 1 >= before, log
    return starts


@begun_early
def test_cancelled(finished, untrained):
    run = train_a_little(untrained)
    with recovery(finished, untrained, "scancel"):
        untrained.cluster.run("scancel", running(untrained)["JobID"])
        output = run.finish()
    assert re.search(r"SLURM-job '\d+' failed, SLURM status is: 'CANCELLED'", output), output
    first, second = went_on(untrained, "CANCELLED")
    assert (first["ReqMem"], second["ReqMem"]) == ("400000M", "800000M")


@pytest.mark.nightly
@begun_early
def test_before_its_time_limit(finished, untrained):
    """Of one minute, a minute is kept for the last checkpoint: training stops by itself after its first step."""
    untrained.edit(train_contrastive={"runtime": "1 if attempt == 1 else 10"})
    with recovery(finished, untrained, "a time limit, foreseen"):
        output = untrained.start(TARGET).finish()
    assert "stopped after step 1 of 13, because its job's time ends; re-run to resume" in output, output
    went_on(untrained, "FAILED", before=2)


@pytest.mark.nightly
@begun_early
def test_past_its_time_limit(finished, untrained):
    """A checkpoint that takes too long: SLURM ends the job."""
    untrained.edit(train_contrastive={"runtime": "1 if attempt == 1 else 10"})
    with recovery(finished, untrained, "a time limit"):
        output = untrained.start(TARGET, HOLD_AT="step-00000001.json").finish()
    assert "DUE TO TIME LIMIT" in output, output
    went_on(untrained, "TIMEOUT", before=2)


@pytest.mark.nightly
@begun_early
def test_killed_for_memory(finished, untrained):
    untrained.edit(train_contrastive={"mem_mb": "1500 * min(attempt, 2)"})
    run = train_a_little(untrained, HOARD_AT="step-00000003.json")
    with recovery(finished, untrained, "too little memory"):
        output = run.finish()
    assert "Exceeded job memory limit" in output, output
    went_on(untrained, "FAILED")


@pytest.mark.nightly
@begun_early
def test_node_lost(finished, untrained):
    run = train_a_little(untrained)
    node = running(untrained)["NodeList"]
    untrained.cluster.kill_node(node)
    try:
        with recovery(finished, untrained, "a lost node"):
            run.finish()  # SLURM starts the job again; Snakemake has nothing to say
    finally:
        untrained.cluster.start_nodes(node)
    first, second = went_on(untrained, "NODE_FAIL")
    assert first["JobID"] == second["JobID"]
    assert first["NodeList"] == node != second["NodeList"]


@begun_early
def test_preempted_and_submitted_again(finished, untrained):
    """SLURM requeues the job, and a new Snakemake submits another: both run in the end, and do no harm."""
    untrained.edit(train_contrastive={"slurm_partition": "preemptible"})
    run = train_a_little(untrained)
    urgent = ("sbatch", "--account=my-team", "--partition=gpu", "--exclusive", "--time=1", "--wrap=srun sleep 5")
    with recovery(finished, untrained, "preemption, with a second job"):
        untrained.cluster.run(
            *urgent, f"--nodelist={running(untrained)['NodeList']}", f"--chdir={untrained.cluster.folder}"
        )
        wait_for(lambda: running(untrained)["State"] == "PENDING", 60, "the job's way back to the queue")
        run.kill()
        untrained.start("--unlock").finish()
        untrained.start(TARGET).finish()
        wait_for(lambda: not untrained.jobs(now=True), 300, "the end of both jobs")
    first, *others = job_of("train_contrastive", untrained.jobs())
    assert first["State"] == "PREEMPTED", first
    assert len({job["JobID"] for job in [first, *others]}) > 1
    # Whichever comes later takes over from the other; where that is the requeued one, Snakemake's next try comes after
    # it.
    states = [job["State"] for job in others]
    assert "COMPLETED" in states and set(states) <= {"COMPLETED", "FAILED"}, others


@pytest.mark.nightly
@begun_early
def test_snakemake_killed(finished, untrained):
    """Its job goes on; the next Snakemake submits a second one, which takes over from the first."""
    run = train_a_little(untrained)
    run.kill()
    with recovery(finished, untrained, "kill -9 of Snakemake"):
        locked = untrained.start(TARGET)
        locked.process.wait()
        assert "Directory cannot be locked" in locked.output, locked.output
        untrained.start("--unlock").finish()
        # The first job's Snakemake removes what that job was to make when it fails, which takes seconds. The rest of
        # the training would take one; what it made would be put in place again by a third job.
        untrained.start(TARGET, HOLD_AT="step-00000008.json", HOLD_SECONDS="10").finish()
    first, _ = went_on(untrained, "FAILED")
    assert f"job {first['JobID']} on " in log_of(untrained)
    assert "is training this stage; asked it to stop, and will resume from its checkpoint" in log_of(untrained)


@pytest.mark.nightly
@begun_early
def test_snakemake_killed_and_its_job_ended_well(finished, untrained):
    """The job has told that it is done; nothing runs again."""
    run = train_a_little(untrained, HOLD_SECONDS="1")
    run.kill()
    wait_for(lambda: not untrained.jobs(now=True), 120, "the end of the job")
    with recovery(finished, untrained, "kill -9 of Snakemake, its job done"):
        untrained.start("--unlock").finish()
        untrained.start(TARGET).finish()
    (job,) = job_of("train_contrastive", untrained.jobs())
    assert job["State"] == "COMPLETED"
