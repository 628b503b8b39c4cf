"""Trainings in processes of their own: waiting for them, disturbing them, reading what they made."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TextIO

# Queries in a step of these trainings.
BATCH = 8


class Started(subprocess.Popen):
    """A process of its own session that writes to a log, warm or cold (warm.py)."""

    def __init__(self, command: list[str], environment: dict[str, str], log: TextIO):
        # The fork of a warm Python has the pipe, too, and may outlive its client for a moment.
        self._until, held = os.pipe()
        super().__init__(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=[held]
        )
        os.close(held)

    def wait(self, timeout: float | None = None) -> int:
        status = super().wait(timeout)
        os.read(self._until, 1)
        return status


def finished(process: subprocess.Popen, folder: Path) -> Path:
    assert process.wait(timeout=300) == 0, (folder / "log").read_text()
    return folder


def interrupted(process: subprocess.Popen, folder: Path, number: signal.Signals, after: int) -> int:
    """Send a signal once the checkpoint after step `after`, or a later one, is written; return the exit status."""
    limit = time.monotonic() + 300
    while newest(folder) < after:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait(timeout=60)


def newest(folder: Path) -> int:
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=0)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()
