"""What a run tells: a run of Snakemake itself, in a file and in a terminal, and single records."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ascent.report.terminal import RunDisplay
from ascent.report.told import TAIL, clock, last_words, short_reason

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Three jobs of `settle`, three of `count` that follow, and one of `join` that needs them all.
SNAKEFILE = """
import sys
sys.path.insert(0, {scripts!r})
from snakemake.logging import logger
from ascent.report.terminal import show_run
dry_run = workflow.output_settings.dryrun
show_run(logger, ["builds a toy"], {{"all": ["look into joined.txt"]}}, folded=("settle",), dry_run=dry_run)

rule all:
    input: "joined.txt"

rule settle:
    output: "settings/{{name}}.txt"
    shell: "touch {{output}}"

rule count:
    input: "settings/{{name}}.txt"
    output: "counts/{{name}}.txt"
    log: "logs/{{name}}.log"
    shell:
        "seq 40 > {{log}}; echo 'error: {{wildcards.name}}: planted; remove it.' >> {{log}}; "
        "{{config[then]}} > {{output}}"

rule join:
    input: expand("counts/{{name}}.txt", name=["a", "b", "c"])
    output: "joined.txt"
    log: "logs/join.log"
    shell: "cat {{input}} > {{output}} 2> {{log}}"
"""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


@pytest.fixture
def toy(tmp_path, warm_python, monkeypatch):
    monkeypatch.setattr(sys, "executable", warm_python)
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=str(SCRIPTS)))
    return tmp_path


def command(*arguments: str, then: str = "echo") -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments, "--cores", "1", "--config", f"then={then}"]


def run(toy: Path, *arguments: str, then: str = "echo") -> tuple[int, list[str]]:
    done = subprocess.run(
        command(*arguments, then=then), cwd=toy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert CONTROL.search(done.stdout) is None
    return done.returncode, done.stdout.splitlines()


def test_a_run_in_a_file_has_two_lines_a_job(toy):
    code, lines = run(toy)
    assert code == 0, lines
    found = [re.sub(r"^\d\d:\d\d:\d\d | +\d+:\d\d$", "", line) for line in lines]
    begin = found.index("builds a toy")
    assert found[begin + 1].startswith("8 jobs: ")
    assert set(found[begin + 1].removeprefix("8 jobs: ").split(", ")) == {"1 join", "3 count", "3 settle"}
    told = found[begin + 2 :]
    started = {line.split("start ")[1] for line in told if " start " in line}
    done = {line.split("done  ")[1] for line in told if " done  " in line}
    assert started == {"count a", "count b", "count c", "join"}
    assert done == {"count a", "count b", "count c", "join", "settle, 3 jobs"}
    assert "7/8 done  join" in told
    assert re.fullmatch(r"all done \(8 jobs\), after \d+:\d\d", lines[-3])
    assert lines[-2] == "look into joined.txt"
    assert re.fullmatch(r"Snakemake's own log: .*\.snakemake\.log", lines[-1])
    assert len(told) == 4 + 5 + 3


def test_a_failure_is_told_once_with_the_end_of_its_log(toy):
    code, lines = run(toy, "--keep-going", then="false")
    text = "\n".join(lines)
    assert code == 1
    for name in "abc":
        assert len(re.findall(rf"error count {name}: exit status 1$", text, re.MULTILINE)) == 1
        assert text.count(f"error: {name}: planted; remove it.") == 2  # in the command, and in the log
        end = [*(str(number) for number in range(42 - TAIL, 41)), f"error: {name}: planted; remove it."]
        shown = "\n".join(f"    {line}" for line in end)
        assert f"  log: logs/{name}.log, its last lines:\n{shown}\n" in text
    assert "3 jobs failed, 3 of 8 are done: " in text
    assert "CalledProcessError" not in text
    assert "At least one job did not complete" not in text and "might be corrupted" not in text
    assert not {"look into joined.txt", "Traceback (most recent call last):"} & set(lines)


def test_a_job_that_fails_twice_is_told_to_start_again(toy):
    _, lines = run(toy, "counts/a.txt", "--retries", "1", then="false")
    text = "\n".join(lines)
    assert len(re.findall(r"error count a: exit status 1$", text, re.MULTILINE)) == 2
    assert re.search(r"^Trying to restart job \d+: count a$", text, re.MULTILINE)
    assert "1 job failed, 1 of 2 are done: count a." in text


def test_a_dry_run_tells_each_job_and_why(toy):
    code, lines = run(toy, "--dry-run")
    assert code == 0
    would = dict(line.removeprefix("would run ").split(": ", 1) for line in lines if line.startswith("would run "))
    # The files of the folded rule are counted only, as long as none was written before.
    assert set(would) == {"join", *(f"count {name}" for name in "abc")}
    assert "3 settle" in "\n".join(lines)
    assert would["join"] == "Missing output files: joined.txt"
    assert run(toy)[0] == 0
    _, lines = run(toy, "--dry-run", "--forcerun", "settle")
    assert "would run settle a: Forced execution" in lines
    updated = r"would run join: Input files updated by another job: counts/[abc].txt, counts/[abc].txt and 1 more"
    assert any(re.fullmatch(updated, line) for line in lines)


SOON = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
REJECTED = "sbatch: error: Batch job submission failed: Requested node configuration is not available"


@pytest.mark.parametrize(
    ("account", "told"),
    [("my-team", REJECTED), ("others", "The given account my-team appears to be invalid. Available accounts:\nothers")],
)
def test_what_a_cluster_says_of_a_job_that_it_does_not_take_is_told_and_no_older_log(toy, account, told):
    """The executor's own words, with stand-ins for SLURM's commands; the log of an earlier run of the rule is there."""
    assert run(toy, "counts/a.txt")[0] == 0
    (toy / "counts/a.txt").unlink()
    (toy / "bin").mkdir()
    for name, text in (("sbatch", f"echo '{REJECTED}' >&2; exit 1"), ("sacctmgr", f"echo {account}"), ("scontrol", "")):
        (toy / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (toy / "bin" / name).chmod(0o755)
    resources = ("slurm_account=my-team", "slurm_partition=cpu", "mem_mb=100", "runtime=1")
    arguments = ("counts/a.txt", "--executor", "slurm", "--jobs", "1", *SOON, "--default-resources", *resources)
    environment = os.environ | {"PATH": f"{toy / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command(*arguments), cwd=toy, env=environment, text=True, **pipes)
    assert done.returncode == 1
    assert len(re.findall(rf"^\S+ +error count a: was not submitted: {told}$", done.stdout, re.MULTILINE)) == 1, (
        done.stdout
    )
    called = re.search(r"^  sbatch call: sbatch --parsable .* -A my-team +-p cpu ", done.stdout, re.MULTILINE)
    assert bool(called) == (account == "my-team")
    assert "last lines" not in done.stdout
    assert "1 job failed, 0 of 1 are done: count a." in done.stdout


def test_quiet_keeps_its_meaning(toy):
    code, lines = run(toy, "--quiet", "all")
    assert (code, lines) == (0, [])


def test_a_terminal_shows_what_runs_and_keeps_a_line_a_rule(toy):
    here, there = pty.openpty()
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:
                return
            if not part:
                return
            seen.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    try:
        # Long enough that the display is drawn while it runs.
        done = subprocess.run(command(then="sleep 0.7; echo"), cwd=toy, stdout=there, stderr=there, env=environment)
    finally:
        os.close(there)
        reader.join(10)
        os.close(here)
    text = seen.decode()
    assert done.returncode == 0, text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
    # Drawn and taken away again: a job, its time, the last line of its log, and how many are done.
    assert re.search(r"count [abc] +0:0\d +error: [abc]: planted; remove it\.", plain), plain
    assert re.search(r"\d of 8 jobs +0:0\d", plain), plain
    kept = re.findall(r"^\d\d:\d\d:\d\d done  (.*?)  \d+:\d\d *$", plain, re.MULTILINE)
    assert sorted(kept) == ["count, 3 jobs", "join", "settle, 3 jobs"]
    assert "\x1b[?25h" in text.split("\x1b[?25l")[-1]  # the cursor is there again


# ---------------------------------------------------------------- single records


@pytest.fixture
def display():
    default = logging.StreamHandler(io.StringIO())
    default.setFormatter(logging.Formatter("as Snakemake: %(message)s"))
    return RunDisplay(default, [], {})


def tell(display: RunDisplay, message: str | None, level: int = logging.INFO, **extra) -> str:
    """What is written for a record."""
    record = logging.LogRecord("snakemake", level, "file", 1, message, (), None)
    record.__dict__.update(extra)
    before = len(display.default.stream.getvalue())
    display.handle(record)
    return display.default.stream.getvalue()[before:]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_what_is_not_known_is_passed_on(display, level):
    assert tell(display, "a new kind of message", level) == "as Snakemake: a new kind of message\n"
    assert (
        tell(display, "of a new kind of event", level, event="job_paused") == "as Snakemake: of a new kind of event\n"
    )


def test_what_a_step_warns_of_is_shown_when_it_is_done(display, tmp_path):
    log = tmp_path / "step.log"
    log.write_text("10 rows\nUserWarning: of a library\nwarning: corpus x: 3 of 90 rows set aside.\n")
    fields = {
        "jobid": 3,
        "job_id": 3,
        "rule_name": "normalise",
        "wildcards": {},
        "log": [str(log), str(tmp_path / "none.log")],
    }
    tell(display, None, event="job_info", **fields)
    text = tell(display, None, event="job_finished", **fields)
    assert (
        re.sub(r"^\d\d:\d\d:\d\d ", "", text) == "done  normalise  0:00\n  warning: corpus x: 3 of 90 rows set aside.\n"
    )


def test_noise_is_dropped_only_as_noise(display):
    assert tell(display, "Select jobs to execute...") == ""
    assert (
        tell(display, "Select jobs to execute failed", logging.WARNING)
        == "as Snakemake: Select jobs to execute failed\n"
    )


def test_a_failed_command_without_its_job_is_told_in_the_end(display):
    message = "RuleException:\nCalledProcessError in file x:\nCommand 'false' returned non-zero exit status 3."
    assert tell(display, message, logging.ERROR, event="error") == ""
    assert tell(display, "Select jobs to execute...") == f"as Snakemake: {message}\n"
    assert tell(display, message, logging.ERROR, event="error") == ""
    display.close()
    assert display.default.stream.getvalue().count(message) == 2


def test_a_record_that_the_display_cannot_read_is_told_by_snakemake_s_handler(display):
    """The fault is told, too, but once."""
    fault = "the display failed (AttributeError: 'LogRecord' object has no attribute 'rule_name')"
    text = f"as Snakemake: without its fields\n{fault}; Snakemake's own lines stand where it does\n"
    assert tell(display, "without its fields", event="job_info") == text
    assert tell(display, "again without them", event="job_info") == "as Snakemake: again without them\n"


def test_what_a_cluster_says_of_a_failed_job_is_shown(display, tmp_path):
    own, cluster = tmp_path / "step.log", tmp_path / "slurm.log"
    own.write_text("10%\r50%\r90%\nslow\n")
    cluster.write_text("slurmstepd: error: CANCELLED DUE TO TIME LIMIT\n")
    text = tell(
        display,
        "Error in rule train, jobid: 3",
        logging.ERROR,
        **{"event": "job_error", "jobid": 3, "rule_name": "train", "rule_msg": "SLURM-job '12' failed"},
        shellcmd="python x.py",
        log=[str(own), str(cluster), str(tmp_path / "none.log")],
        aux={"external_jobid": "12"},
    )
    assert (
        re.sub(r"^\d\d:\d\d:\d\d ", "", text) == "error train: SLURM-job '12' failed\n"
        "  command: python x.py\n"
        "  external_jobid: 12\n"
        f"  log: {own}:\n    90%\n    slow\n"
        f"  log: {cluster}:\n    slurmstepd: error: CANCELLED DUE TO TIME LIMIT\n"
        f"  log: {tmp_path / 'none.log'}: it was not written\n"
    )


def test_jobs_that_the_user_stopped_are_no_errors(display, tmp_path):
    assert tell(display, "Terminating processes on user request, this might take some time.").startswith(
        "as Snakemake: "
    )
    fields = {
        "event": "job_error",
        "jobid": 3,
        "rule_name": "train",
        "rule_msg": None,
        "shellcmd": "x",
        "log": [],
        "aux": {},
    }
    text = tell(display, "Error in rule train, jobid: 3", logging.ERROR, **fields)
    assert re.fullmatch(r"\d\d:\d\d:\d\d stop  train\n", text)
    (tmp_path / "step.log").write_text(
        "step 9/32\nerror: model: stopped after step 9 of 32, by SIGINT; re-run to resume.\n"
    )
    fields["log"] = [str(tmp_path / "step.log")]
    text = tell(display, "Error in rule train, jobid: 3", logging.ERROR, **fields)
    assert text.endswith(" stop  train: model: stopped after step 9 of 32, by SIGINT; re-run to resume.\n")
    failed = "WorkflowError:\nAt least one job did not complete successfully."
    assert tell(display, failed, logging.ERROR, event="error") == ""
    assert (
        tell(display, "Complete log(s): x.log")
        == "stopped, 0 of 0 jobs are done; re-run to resume\nSnakemake's own log: x.log\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (90061, "25:01:01")]
)
def test_times(seconds, text):
    assert clock(seconds) == text


def test_a_reason_names_few_files_and_is_short():
    assert short_reason("Missing output files: a, b, c, d; Forced") == "Missing output files: a, b and 2 more; Forced"
    assert short_reason("Missing output files: a; Input files updated by another job: b") == "Missing output files: a"
    assert short_reason("Input files updated by another job: b") == "Input files updated by another job: b"
    assert len(short_reason("Params have changed since last execution: " + "word " * 500)) <= 200


def test_what_slurm_says_of_a_job_is_shown_though_snakemake_s_words_follow_it(tmp_path):
    reason = "slurmstepd-gpu02: error: *** JOB 35 ON gpu02 CANCELLED AT 2026-11-28T19:49:05 DUE TO TIME LIMIT ***"
    after = [f"line {number}" for number in range(TAIL + 5)]
    (tmp_path / "35.log").write_text("\n".join(["first", reason, *after]))
    assert last_words(tmp_path / "35.log")[1:] == [f"    {line}" for line in [reason, *after[-TAIL:]]]
