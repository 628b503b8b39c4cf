"""Why a run is to stop: signals, and the time limit of its job."""

import os
import signal
import time

import pytest

from ascent.training.job import preemption
from ascent.training.job.preemption import SIGNALS, StopRequest, seconds_of


@pytest.fixture(autouse=True)
def handlers_restored():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("05:00", 300),
        ("1:00:00", 3600),
        ("2-03:04:05", 183845),
        ("0:07", 7),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_times_as_slurm_writes_them(text, seconds):
    assert seconds_of(text) == seconds


def test_a_run_outside_slurm_has_all_the_time(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert StopRequest().reason() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_remembered_and_the_first_process_says_so_once(number, monkeypatch, capfd):
    for rank, told in ((None, 1), ("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank) if rank else monkeypatch.delenv("RANK", raising=False)
        run = StopRequest()
        assert run.reason() is None
        for _ in range(2):
            os.kill(os.getpid(), number)
        assert run.reason() == f"by {number.name}"
        text = f"asked to stop by {number.name}: after this step, with a checkpoint\n"
        assert capfd.readouterr().err == text * told


def test_room_is_left_for_a_step_and_a_checkpoint(monkeypatch):
    monkeypatch.setattr(preemption, "seconds_left", lambda: 200.0)
    now = time.monotonic()
    run = StopRequest()
    monkeypatch.setattr(time, "monotonic", lambda: now + 120)
    assert run.reason() is None
    run.took(5)  # to stop 200 - 60 - 2 * 5 = 130 seconds after the start
    assert run.reason() is None
    run.took(15)  # 110 seconds
    assert run.reason() == "because its job's time ends"
