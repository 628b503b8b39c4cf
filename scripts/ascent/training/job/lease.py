"""One run of a stage at a time: a new run asks the running one to stop, and resumes from its checkpoint.

Two runs of one stage can exist if the main process of the workflow is killed and restarted while its cluster jobs
continue, or if a cluster requeues a job that the workflow also resubmits. Both would write the same checkpoints.
"""

import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ...errors import AscentError
from ...files import write_json

BEAT_SECONDS = 5.0
# A run on another machine without a heartbeat for this long is dead. Network file systems show a change up to a minute
# late.
DEAD_SECONDS = 90.0
# A run may take this long to finish its step and write a checkpoint.
PATIENCE_SECONDS = 1800.0
# The lock is held for milliseconds; one that is held for so long was left behind.
LOCK_SECONDS = 60.0
# A file system without flock: Lustre mounted without it, NFS without its lock daemon, some in user space.
NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


class Lease:
    """The right to train the stage whose checkpoints are in `folder`; one process of a run holds it for all."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._owner = folder / "owner.json"
        self._request = folder / "request.json"
        # Held only while the owner is read and written. The kernel frees it when its holder dies.
        self._lock: BaseFileLock = FileLock(folder / "owner.lock", timeout=LOCK_SECONDS, fallback_to_soft=False)
        me = psutil.Process()
        job = os.environ.get("SLURM_JOB_ID")
        self._me = {
            "name": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": me.pid,
            "started": me.create_time(),
            "job": job,
        }
        self._over = threading.Event()

    def take(self, stop: Callable[[], str | None] = lambda: None) -> None:
        """Become the owner, as soon as a run that is still alive has stopped.

        stop: says why this run must end while it waits. Raises AscentError if it must, if a newer run wants the stage,
        or if the running one does not stop."""
        self._folder.mkdir(parents=True, exist_ok=True)
        asked = None
        seen, seen_at = None, time.monotonic()
        dead = None
        while (other := self._own(dead)) is not None:
            beat = (other["name"], _modified(self._owner))
            if beat != seen:
                seen, seen_at = beat, time.monotonic()
            if (reason := stop()) is not None:
                if asked is not None:
                    self._request.unlink(missing_ok=True)
                raise AscentError(
                    f"{self._folder}: stopped {reason}, while {describe_run(other)} trained; re-run to take over."
                )
            if _is_gone(other) or time.monotonic() - seen_at > DEAD_SECONDS:
                dead = other
            elif _read(self._request) is None and asked is not None:
                write_json(self._request, self._me, shared=True)  # a third run came in between, and cleared it
            elif asked is None:
                write_json(self._request, self._me, shared=True)
                asked = time.monotonic()
                print(
                    f"{describe_run(other)} is training this stage; asked it to stop, and will resume from its"
                    " checkpoint",
                    flush=True,
                )
            elif (newer := self._newer()) is not None:
                raise AscentError(
                    f"{self._folder}: {describe_run(newer)} is taking over this stage and will resume from its"
                    " checkpoint."
                )
            elif time.monotonic() - asked > PATIENCE_SECONDS:
                raise AscentError(f"{self._folder}: {describe_run(other)} does not stop; end it and re-run.")
            else:
                time.sleep(0.2)
        # Its own, or one left by a run that was killed while it waited, for which this one must not stop.
        self._request.unlink(missing_ok=True)
        threading.Thread(target=self._beat, daemon=True).start()

    def wanted(self) -> str | None:
        """Return a sentence if another run asks for the stage, or took it while this one had no heartbeat."""
        owner = _read(self._owner)
        if owner is not None and owner["name"] != self._me["name"]:
            return f"{describe_run(owner)} has taken this stage over"
        newer = self._newer()
        return newer and f"{describe_run(newer)} is taking over this stage"

    def release(self) -> None:
        """Release the stage."""
        self._over.set()
        with self._locked():
            if (owner := _read(self._owner)) is not None and owner["name"] == self._me["name"]:
                self._owner.unlink()

    def _own(self, dead: dict | None) -> dict | None:
        """Become the owner if there is none, or only `dead`; else return the owner."""
        with self._locked():
            owner = _read(self._owner)
            if owner is not None and (dead is None or owner["name"] != dead["name"]):
                return owner
            write_json(self._owner, self._me, shared=True)
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        """Take the lock. Without flock it is a file that exists while it is held: filelock removes one whose holder
        died on this machine; one that a killed machine left is for the user to remove."""
        try:
            self._lock.acquire()
        except Timeout:
            raise AscentError(
                f"{self._lock.lock_file}: has been held for {LOCK_SECONDS:.0f} s; if no run of this stage is alive,"
                " remove it."
            ) from None
        except OSError as error:
            if error.errno not in NO_FLOCK or isinstance(self._lock, SoftFileLock):
                raise
            self._lock = SoftFileLock(self._folder / "owner.held", timeout=LOCK_SECONDS)
            self._acquire()

    def _newer(self) -> dict | None:
        newer = _read(self._request)
        return None if newer is None or newer["name"] == self._me["name"] or _is_gone(newer) else newer

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(FileNotFoundError):
                os.utime(self._owner)


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _modified(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def _is_gone(run: dict) -> bool:
    """Whether a run on this machine has ended; of a run on another machine it is not known."""
    if run["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(run["pid"])
        return process.create_time() != run["started"] or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def describe_run(run: dict) -> str:
    return (f"job {run['job']}" if run["job"] else f"process {run['pid']}") + f" on {run['host']}"
