"""Words for a run's jobs: their names, times and reasons, and what the ends of their logs tell."""

import textwrap
from pathlib import Path

from ..errors import WARNING

# Of a failed job's log, how many of the last lines are shown.
TAIL = 30
# Bytes from which they are taken: a log may have grown for days.
TAIL_BYTES = 64_000
# Files named in the reason for a job, and its characters: changed parameters are told with whole settings files.
NAMED = 2
CLAUSE = 200
# What makes another reason superfluous: nothing was made of the inputs yet.
MISSING, UPDATED = "Missing output files: ", "Input files updated by another job: "


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def job_name(rule: str, wildcards: dict[str, str]) -> str:
    """Return a job's name: its rule and wildcards, without the part of what has only one."""
    if wildcards.get("parts") == "00001":
        wildcards = {name: value for name, value in wildcards.items() if name not in ("part", "parts")}
    return " ".join([rule, *map(str, wildcards.values())])


def count_of_jobs(count: int) -> str:
    """Return a number of jobs in words."""
    return f"{count} job{'s' * (count != 1)}"


def short_reason(text: str) -> str:
    """Return the reason for a job, with the first files of each list; that its inputs are new only if it ran before."""
    clauses = []
    for clause in text.split("; "):
        if text.startswith(MISSING) and clause.startswith(UPDATED):
            continue
        head, colon, names = clause.partition(": ")
        listed = names.split(", ")
        rest = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        clauses.append(textwrap.shorten(f"{head}{colon}{', '.join(listed[:NAMED])}{rest}", CLAUSE, placeholder=" ..."))
    return "; ".join(clauses)


def _end_of(log: Path) -> list[str]:
    """Return the last lines of a log; of a line that was written over itself, what it said last."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return [line.rstrip("\r").rpartition("\r")[2] for line in lines if line.strip()]


def warnings_of(log: Path) -> list[str]:
    """Return what a step that is done tells its user, see errors.warn."""
    try:
        return [f"  {line}" for line in _end_of(log) if line.startswith(WARNING)]
    except OSError:
        return []


def last_words(log: Path) -> list[str]:
    """Return the end of a failed job's log, with a line above that says where it stands."""
    try:
        lines = _end_of(log)
    except OSError:
        return [f"  log: {log}: it was not written"]
    if not lines:
        return [f"  log: {log}: it is empty"]
    cut = ", its last lines" if len(lines) > TAIL else ""
    # SLURM tells why it ended a job before Snakemake, in the same log, tells that it ended.
    reasons = [line for line in lines[:-TAIL] if line.startswith(("slurmstepd", "srun:"))]
    return [f"  log: {log}{cut}:", *(f"    {line}" for line in reasons[-TAIL:] + lines[-TAIL:])]


def last_line(logs: list[str]) -> str:
    """Return the last line of a running job's log, or nothing."""
    for log in logs:
        try:
            return _end_of(Path(log))[-1].strip()
        except (OSError, IndexError):
            continue
    return ""
