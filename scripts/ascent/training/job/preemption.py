"""Why a run must stop early: a signal, or the time limit of its job."""

import os
import re
import signal
import subprocess
import time

# SIGINT is Ctrl-C, which a terminal sends to Snakemake and to every process that it has started.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# The last checkpoint must be on disk before the time limit: this much time is kept free in addition to what one took.
MARGIN_SECONDS = 60.0


class StopRequest:
    """Remembers signals, and knows when the job's time ends."""

    def __init__(self):
        self._signal: signal.Signals | None = None
        for number in SIGNALS:
            signal.signal(number, self._remember)
        left = seconds_left()
        self._end = None if left is None else time.monotonic() + left
        self._longest = 0.0

    def took(self, seconds: float) -> None:
        """Record how long a step or a checkpoint took: the next one may take as long."""
        self._longest = max(self._longest, seconds)

    def reason(self) -> str | None:
        """Return why the run must stop now; None if it need not."""
        if self._signal is not None:
            return f"by {self._signal.name}"
        if self._end is not None and time.monotonic() > self._end - MARGIN_SECONDS - 2 * self._longest:
            return "because its job's time ends"
        return None

    def _remember(self, number: int, _) -> None:
        if self._signal is None and os.environ.get("RANK", "0") == "0":
            # Until then the log would end with an older step. Not by print, which the signal may have interrupted.
            os.write(
                2, f"asked to stop by {signal.Signals(number).name}: after this step, with a checkpoint\n".encode()
            )
        self._signal = signal.Signals(number)


def seconds_left() -> float | None:
    """Return how long this SLURM job may still run; None outside SLURM, or without a limit."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    try:
        done = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%L"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return seconds_of(done.stdout.strip())


def seconds_of(text: str) -> float | None:
    """Return the seconds of SLURM's [days-][hours:]minutes:seconds; None for words such as UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
