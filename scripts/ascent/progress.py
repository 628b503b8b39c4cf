"""How far a step is: a bar in a terminal, lines in a log."""

import time

from tqdm import tqdm

# A log gets a line at every tenth, and at least one in this many seconds.
SECONDS = 600.0
# Seconds of embedding after which a log tells how far it is.
PATIENCE = 10.0


class Progress:
    """Counts what is done of `total` units.

    what: what is done, which each line begins with. start: units that an earlier run has done. patience: seconds before
    the first line, so that what is short leaves none."""

    def __init__(self, what: str, total: int, unit: str, *, start: int = 0, patience: float = 0.0):
        self._what, self._total, self._unit, self._start, self._done = what, total, unit, start, start
        self._begun, self._patience = time.monotonic(), patience
        self._told, self._told_at, self._note = start, self._begun, ""
        self._bar = tqdm(total=total, initial=start, desc=what, unit=unit, disable=None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count further units; `note` stands behind them."""
        self._done, self._note = self._done + units, note
        self._bar.update(units)
        self._bar.set_postfix_str(note, refresh=False)
        if not self._bar.disable:
            return
        now = time.monotonic()
        tenth = self._done * 10 // self._total > self._told * 10 // self._total
        if now - self._begun >= self._patience and (tenth or now - self._told_at >= SECONDS):
            self._tell(now)

    def close(self) -> None:
        """Tell of the last units, if lines were told before, or would have been without an earlier end."""
        self._bar.close()
        now = time.monotonic()
        if self._bar.disable and self._told < self._done and now - self._begun >= self._patience:
            self._tell(now)

    def _tell(self, now: float) -> None:
        self._told, self._told_at = self._done, now
        parts = [f"{self._what}: {self._unit} {self._done:,}/{self._total:,}", self._note]
        if self._done < self._total:
            rest = (now - self._begun) / (self._done - self._start) * (self._total - self._done)
            parts.append(f"{duration(rest)} left")
        print("  ".join(part for part in parts if part), flush=True)


def duration(seconds: float) -> str:
    """Return a time in the two units that matter: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
