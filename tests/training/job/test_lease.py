"""One run of a stage at a time: a newcomer asks, waits, and takes over; the dead are not waited for."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from ascent.errors import AscentError
from ascent.training.job import lease as leases
from ascent.training.job.lease import Lease

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def other(tmp_path):
    """A run in a process of its own that holds the lease until it is asked for, and takes half a second to stop."""
    program = f"""
        import sys, time
        sys.path.insert(0, {str(SCRIPTS)!r})
        from pathlib import Path
        from ascent.training.job.lease import Lease
        lease = Lease(Path({str(tmp_path)!r}))
        lease.take()
        print("taken", flush=True)
        while lease.wanted() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        Path({str(tmp_path / "stopped")!r}).write_text(lease.wanted())
        lease.release()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=["Lustre", "NFS", "FUSE"])
def no_flock(request, monkeypatch):
    """A file system that answers flock as Lustre mounted without it does, NFS without its daemon, and FUSE."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def owner(folder: Path) -> dict:
    return json.loads((folder / "owner.json").read_text())


def test_a_newcomer_goes_on_when_the_living_run_has_stopped(other, tmp_path, capsys):
    mine = Lease(tmp_path)
    mine.take()
    assert (
        tmp_path / "stopped"
    ).read_text() == f"process {os.getpid()} on {owner(tmp_path)['host']} is taking over this stage"
    assert f"process {other.pid} on" in capsys.readouterr().out
    assert owner(tmp_path)["pid"] == os.getpid()
    assert mine.wanted() is None
    mine.release()
    assert list(tmp_path.glob("*.json")) == []


def test_a_run_that_is_to_stop_while_it_waits_takes_its_request_back(tmp_path):
    Lease(tmp_path).take()
    reasons = iter([None, "by SIGINT"])
    with pytest.raises(
        AscentError, match=r"stopped by SIGINT, while process \d+ on .* trained; re-run to take over\.$"
    ):
        Lease(tmp_path).take(lambda: next(reasons))
    assert [file.name for file in tmp_path.glob("*.json")] == ["owner.json"]


def test_a_killed_run_is_not_waited_for(other, tmp_path):
    other.kill()
    other.wait()
    began = time.monotonic()
    mine = Lease(tmp_path)
    mine.take()
    assert time.monotonic() - began < leases.DEAD_SECONDS / 2
    assert owner(tmp_path)["pid"] == os.getpid()
    mine.release()


@pytest.mark.slow
def test_a_run_of_another_machine_is_dead_when_it_shows_no_sign_of_life(other, tmp_path, monkeypatch):
    away = owner(tmp_path) | {"host": "elsewhere"}
    other.kill()
    other.wait()
    (tmp_path / "owner.json").write_text(json.dumps(away))
    monkeypatch.setattr(leases, "DEAD_SECONDS", 2)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.2):
            os.utime(tmp_path / "owner.json")

    thread = threading.Thread(target=beat)
    thread.start()
    mine = Lease(tmp_path)
    taker = threading.Thread(target=mine.take)
    taker.start()
    time.sleep(4)
    assert taker.is_alive()  # it lives, elsewhere
    stop.set()
    thread.join()
    taker.join(timeout=20)
    assert owner(tmp_path)["pid"] == os.getpid()
    mine.release()


def test_a_request_of_a_run_that_was_killed_while_it_waited_stops_nobody(other, tmp_path):
    """It came from another machine, so nothing tells that it is gone."""
    left = owner(tmp_path) | {"host": "elsewhere", "name": "gone"}
    other.kill()
    other.wait()
    (tmp_path / "request.json").write_text(json.dumps(left))
    mine = Lease(tmp_path)
    mine.take()
    assert mine.wanted() is None
    mine.release()


def test_a_run_that_does_not_stop_is_named(tmp_path, monkeypatch):
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.take()
    monkeypatch.setattr(leases, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(AscentError, match=rf"process {os.getpid()} on .* does not stop; end it and re-run"):
        second.take()
    first.release()


def test_of_two_that_wait_the_newer_one_gets_the_stage(tmp_path):
    first, second, third = Lease(tmp_path), Lease(tmp_path), Lease(tmp_path)
    first.take()
    failures = []

    def take_second():
        try:
            second.take()
        except AscentError as error:
            failures.append(str(error))

    waiting = threading.Thread(target=take_second)
    waiting.start()
    while first.wanted() is None:
        time.sleep(0.01)
    last = threading.Thread(target=third.take)
    last.start()
    waiting.join(timeout=20)
    assert len(failures) == 1
    assert "is taking over this stage and will resume from its checkpoint" in failures[0]
    first.release()
    last.join(timeout=20)
    assert owner(tmp_path)["name"] == third._me["name"]
    third.release()


def test_many_newcomers_over_a_dead_run_make_one_owner_at_a_time(other, tmp_path):
    other.kill()
    other.wait()
    inside, most, lock = 0, 0, threading.Lock()

    def run():
        nonlocal inside, most
        lease = Lease(tmp_path)
        try:
            lease.take()
        except AscentError:
            return
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        with lock:
            inside -= 1
        lease.release()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert most == 1


def test_a_run_that_was_silent_too_long_learns_that_it_has_lost_the_stage(tmp_path):
    """A suspended machine: others took the run for dead."""
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.take()
    (tmp_path / "owner.json").unlink()
    second.take()
    assert first.wanted() == f"process {os.getpid()} on {owner(tmp_path)['host']} has taken this stage over"
    first.release()
    assert second.wanted() is None
    assert owner(tmp_path)["name"] == second._me["name"]
    second.release()


def test_without_flock_one_run_takes_over_from_another(no_flock, tmp_path):
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.take()
    taking = threading.Thread(target=second.take)
    taking.start()
    while first.wanted() is None:
        time.sleep(0.01)
    first.release()
    taking.join(timeout=20)
    assert owner(tmp_path)["name"] == second._me["name"]
    second.release()
    assert [path.name for path in tmp_path.iterdir() if path.name != "owner.lock"] == []


def test_without_flock_newcomers_still_come_one_at_a_time(no_flock, other, tmp_path):
    test_many_newcomers_over_a_dead_run_make_one_owner_at_a_time(other, tmp_path)


def test_a_lock_that_another_machine_left_is_named(no_flock, tmp_path, monkeypatch):
    """Where there is no flock, nothing tells whether its holder lives."""
    (tmp_path / "owner.held").write_text(f"{os.getpid()}\nelsewhere\n")
    monkeypatch.setattr(leases, "LOCK_SECONDS", 0.2)
    with pytest.raises(
        AscentError, match=r"owner\.held: has been held for 0 s; if no run of this stage is alive, remove it\."
    ):
        Lease(tmp_path).take()


def test_a_lock_that_a_killed_process_left_is_broken(no_flock, tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout
    (tmp_path / "owner.held").write_text(f"{gone.strip()}\n{socket.gethostname()}\n")
    mine = Lease(tmp_path)
    mine.take()
    mine.release()
