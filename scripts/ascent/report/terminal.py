"""What a run tells while it runs: Snakemake's log records as a few lines, and in a terminal the jobs that run just now.

It stands where Snakemake's own handler stood, and takes the filter of that one, so `--quiet` keeps its meaning. What it
has no words for, Snakemake's own formatter puts into words: no warning and no error is lost.

The published loggers were tried in November 2026: snakemake-logger-plugin-rich 0.5.1 is silent in a file until the end,
lists nothing in a dry run and hides the cluster's log of a failed job; rich-loguru 0.3.0 writes 351 lines for the demo;
pypsa is Snakemake's own output. A plugin of our own would have to be installed before `snakemake` finds it; a handler
need not."""

import logging
import re
import shutil
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from .screen import Screen
from .told import MISSING, clock, count_of_jobs, job_name, last_line, last_words, short_reason, warnings_of

# Jobs that the live display lists; a cluster runs a hundred at once.
LISTED = 8
WIDTH = 120
# What Snakemake says of itself; it stands in its own log, too.
NOISE = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Using shell:|Building DAG of jobs|Assuming unrestricted shared"
    r" filesystem|"
    r"Conda environments: ignored|Singularity containers: ignored|Shutting down, this might take|Elapsed time:|SLURM"
    r" run ID:|"
    # The error of the job says that it failed; what it left is never of use.
    r"Removing output files of failed job|"
    # In a dry run the reason stands beside each job.
    r"Reasons:\n"
)
SUBMITTED = re.compile(r"Job \d+ has been submitted with")
SILENT = {"workflow_started", "resources_info", "job_started", "rulegraph"}
# A command that failed: the record of its job says the rest.
COMMAND = re.compile(r"Command '.*' (returned non-zero exit status \d+|died with .*?)\.\s*$", re.DOTALL)
FAILED = "At least one job did not complete successfully."
# A job that never ran, by its executor: what sbatch said, and the whole command; or why it was not even submitted.
REFUSED = re.compile(
    r"SLURM sbatch failed\. The error message was '(?P<sbatch>.*?)'\.\n\s*sbatch call:\n\s*(?P<call>.*)|"
    r"Job submission failed with exception: (?P<executor>.*?)(For further error details .*)?",
    re.DOTALL,
)


@dataclass
class Job:
    """A job that has begun: its rule and wildcards, its logs, the time (seconds since the epoch)."""

    rule: str
    name: str
    logs: list[str]
    begun: float


@dataclass
class Rule:
    """A rule's jobs in this run: how many there are, how many are done, the seconds that these took together."""

    jobs: int
    done: int = 0
    seconds: float = 0.0


class RunDisplay(logging.Handler):
    """Shows a run in few lines. In a terminal: one line per finished rule, and below them what runs now; else lines per
    job.

    default: Snakemake's handler; its stream, filters and formatter are used.
    heading: lines for the beginning. endings: of each rule that only asks for files, lines for the end of a run that
    made them.
    folded: rules with many short jobs; only the last job is shown, in a dry run those that were done before.
    """

    def __init__(
        self,
        default: logging.StreamHandler,
        heading: list[str],
        endings: dict[str, list[str]],
        folded: tuple[str, ...] = (),
        dry_run: bool = False,
    ):
        super().__init__()
        self.name = "RunDisplay"
        self.default, self.heading, self.endings, self.folded, self.dry_run = default, heading, endings, folded, dry_run
        self.filters = list(default.filters)
        self.jobs: dict[int, Job] = {}
        self.running: dict[int, Job] = {}
        self.rules: dict[str, Rule] = {}
        self.failed: dict[str, None] = {}
        self.held: list[logging.LogRecord] = []
        self.faults: set[str] = set()
        self.cancelled = False
        self.done = self.total = 0
        self.begun = time.time()
        self.live = None
        self.screen = Screen(default) if default.stream.isatty() and not dry_run else None
        self.width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns) if self.screen else WIDTH

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.tell(record)
        except Exception as error:
            # A fault of the display must hide nothing, neither what was to be told nor itself.
            self.default.emit(record)
            fault = f"the display failed ({type(error).__name__}: {error}); Snakemake's own lines stand where it does"
            if fault not in self.faults:
                self.faults.add(fault)
                print(fault, file=self.default.stream, flush=True)

    def tell(self, record: logging.LogRecord) -> None:
        """Put one record into words."""
        event = str(getattr(record, "event", None) or "message")
        if event in SILENT:
            return
        if event not in ("error", "job_error"):
            self._release()
        known = getattr(self, f"_{event}", None)
        if known:
            known(record)
        else:
            self._pass(record)

    def close(self) -> None:
        """End the live display; tell what was held back."""
        self._release()
        if self.live:
            self.live.stop()
            self.live = None
        super().close()

    # ------------------------------------------------------------ one method an event

    def _run_info(self, record: logging.LogRecord) -> None:
        counts = {rule: count for rule, count in record.stats.items() if rule != "total"}
        # A dry run says it twice; the second time, below the jobs, is for the reader.
        if self.dry_run and not self.rules:
            self.rules = {rule: Rule(count) for rule, count in counts.items()}
            self._print(*self.heading, style="bold")
            return
        self.rules = {rule: Rule(count) for rule, count in counts.items()}
        self.total, self.begun = sum(counts.values()), record.created
        # The number stays beside its rule: a no-break space is not a place to break a line.
        named = [f"{count}\N{NO-BREAK SPACE}{rule}" for rule, count in counts.items() if rule not in self.endings]
        lines = textwrap.wrap(f"{count_of_jobs(self.total)}: {', '.join(named)}", self.width, subsequent_indent="  ")
        if not self.dry_run:
            self._print(*self.heading, style="bold")
        self._print(*(line.replace("\N{NO-BREAK SPACE}", " ") for line in lines))
        if self.screen:
            self.live = self.screen.live(self._now)

    def _job_info(self, record: logging.LogRecord) -> None:
        name = job_name(record.rule_name, dict(record.wildcards or {}))
        # Of a first run, the settings files would be a third of the lines.
        first = record.rule_name in self.folded and record.reason.startswith(MISSING)
        if self.dry_run and record.rule_name not in self.endings and not first:
            self._print(f"would run {name}: {short_reason(record.reason)}")
        if self.dry_run:
            return
        job = Job(record.rule_name, name, list(record.log or []), record.created)
        self.jobs[record.jobid] = self.running[record.jobid] = job
        if not self.screen and job.rule not in (*self.folded, *self.endings):
            self._line(record, "start", name)

    def _job_finished(self, record: logging.LogRecord) -> None:
        job = self.running.pop(record.job_id, None)
        if job is None:
            return
        self.failed.pop(job.name, None)
        rule = self.rules.setdefault(job.rule, Rule(1))
        seconds = record.created - job.begun
        rule.done, rule.seconds = rule.done + 1, rule.seconds + seconds
        self.done += 1
        if job.rule in self.endings:
            return
        if not (self.screen or job.rule in self.folded):
            self._line(record, "done", f"{job.name}  {clock(seconds)}", count=True)
        elif rule.done >= rule.jobs:
            name = job.name if rule.jobs == 1 else f"{job.rule}, {rule.jobs} jobs"
            self._line(record, "done", f"{name}  {clock(rule.seconds)}", count=True, style="green")
        self._print(*(line for log in job.logs for line in warnings_of(Path(log))), style="yellow")

    def _progress(self, record: logging.LogRecord) -> None:
        self.done, self.total = record.done, record.total

    def _error(self, record: logging.LogRecord) -> None:
        if record.getMessage().strip() == f"WorkflowError:\n{FAILED}" and (self.failed or self.cancelled):
            return
        if COMMAND.search(record.getMessage()):
            self.held.append(record)
        else:
            self._release()
            self._pass(record)

    def _job_error(self, record: logging.LogRecord) -> None:
        command = (record.shellcmd or "").strip()
        cause = next((held for held in self.held if command and command in held.getMessage()), None)
        if cause:
            self.held.remove(cause)
        job = self.running.pop(record.jobid, None) or self.jobs.get(record.jobid)
        name = job.name if job else record.rule_name
        if self.cancelled:
            # A training tells up to which step its work is kept.
            _, told, why = last_line(list(record.log or [])).partition("error: ")
            self._line(record, "stop", f"{name}: {why}" if told else name, style="yellow")
            return
        self.failed[name] = None
        if refused := REFUSED.fullmatch(record.rule_msg or ""):
            words = refused["sbatch"] or refused["executor"]
            self._line(record, "error", f"{name}: was not submitted: {words.strip()}", style="bold red")
            call = [f"  sbatch call: {refused['call'].strip()}"] if refused["call"] else []
            self._print(*call, "  It did not run; correct the words of the profile.", style="red")
            return
        how = (
            COMMAND.search(cause.getMessage())[1].replace("returned non-zero ", "") if cause else record.rule_msg or ""
        )
        self._line(record, "error", f"{name}" + (f": {how}" if how else ""), style="bold red")
        lines = [f"  command: {command}"] if command else []
        lines += [f"  {key}: {value}" for key, value in (record.aux or {}).items() if value]
        for log in record.log or []:
            lines += last_words(Path(log))
        self._print(*lines, style="red")

    def _message(self, record: logging.LogRecord) -> None:
        text = record.getMessage() if record.msg else ""
        if record.levelno < logging.WARNING and (NOISE.match(text) or (self.screen and SUBMITTED.match(text))):
            return
        if text.startswith("Terminating processes on user request"):
            self.cancelled = True
            self._pass(record)
        elif text.startswith("Exiting because a job execution failed"):
            self._end_of_failure()
        elif text.startswith("Complete log(s):"):
            if self.total and self.done >= self.total and not self.failed:
                self._stop()
                self._print(
                    f"all done ({count_of_jobs(self.total)}), after {clock(record.created - self.begun)}",
                    style="bold green",
                )
                self._print(*(line for rule in self.rules for line in self.endings.get(rule, ())))
            self._stop()
            if self.cancelled:
                self._print(f"stopped, {self.done} of {self.total} jobs are done; re-run to resume", style="bold")
            self._print(f"Snakemake's own log: {text.split(':', 1)[1].strip()}")
        elif found := re.match(r"Trying to restart job (\d+)\.", text):
            job = self.jobs.get(int(found[1]))
            self._print(f"{text.rstrip('.')}: {job.name}" if job else text, style="yellow")
        else:
            self._pass(record)

    def _end_of_failure(self) -> None:
        self._stop()
        failed = list(self.failed)
        if not failed:
            self._print("The run ends, because of the error above.", style="bold red")
            return
        self._print(
            f"{count_of_jobs(len(failed))} failed, {self.done} of {self.total} are done: {', '.join(failed)}.",
            "The errors stand above. What is done stays: correct the cause and run the same command again.",
            style="bold red",
        )

    # ------------------------------------------------------------ how it is written

    def _now(self) -> tuple[list[tuple[str, str, str]], int, int, int, str]:
        """Return what the live display shows: name, time and last words of jobs; how many more run; done, total and
        time."""
        jobs = sorted(self.running.copy().values(), key=lambda job: job.begun)
        rows = [(job.name, clock(time.time() - job.begun), last_line(job.logs)) for job in jobs[:LISTED]]
        return rows, len(jobs) - len(rows), self.done, self.total, clock(time.time() - self.begun)

    def _line(self, record: logging.LogRecord, word: str, text: str, count: bool = False, style: str = "") -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        of = f"{self.done}/{self.total}" if count and not self.screen else ""
        between = f"{of:>{2 * len(str(self.total)) + 1}} " if self.total and not self.screen else ""
        self._print(f"{clock} {between}{word:<5} {text}", style=style)

    def _pass(self, record: logging.LogRecord) -> None:
        """Write a record as Snakemake would."""
        text = self.default.format(record)
        if text and text != "None":
            level = record.levelno
            self._print(
                text.strip("\n"), style="red" if level >= logging.ERROR else "yellow" * (level >= logging.WARNING)
            )

    def _release(self) -> None:
        for record in self.held:
            self._pass(record)
        self.held.clear()

    def _stop(self) -> None:
        if self.live:
            self.live.stop()
            self.live = None

    def _print(self, *lines: str, style: str = "") -> None:
        if self.screen:
            self.screen.print("\n".join(lines), style) if lines else None
        else:
            self.default.stream.write("".join(f"{line}\n" for line in lines))
            self.default.flush()


def show_run(
    logger: logging.Logger, heading: list[str], endings: dict[str, list[str]], folded: tuple[str, ...], dry_run: bool
) -> None:
    """Put the display where Snakemake's handler of the terminal stands; where another logger stands, leave it."""
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler":
            logger.removeHandler(handler)
            logger.addHandler(RunDisplay(handler, heading, endings, folded, dry_run))
