"""The station's rule in the whole Snakefile: killed, changed, and asked for again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from support.chat_server import ChatServer
from support.small_recipe import ROOT, make_workspace

pytestmark = [pytest.mark.workflow, pytest.mark.nightly]

KEY = "sk-a-key-that-is-nowhere-2286"
PAIRS = "results/corpora/made/pairs-00000-of-00001.parquet"


@pytest.fixture
def start(tmp_path):
    """Start Snakemake on a corpus that a server writes."""
    config = yaml.safe_load(make_workspace(tmp_path / "material").read_text())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # rules call `python`
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(tmp_path / "config.yaml")]

    def _start(server, rows, *more, target=PAIRS, **changes) -> subprocess.Popen:
        source = {"type": "synthesis", "documents": "library", "prompt": "queries", "generator": "g", "rows": rows}
        made = {"source": source, "reader": {"type": "synthesised"}, "licence": "mit", "language": "eng-Latn"}
        generator = {
            "type": "openai",
            "address": server.address,
            "model": "m",
            "key": "RULE_KEY",
            "concurrency": 2,
        } | changes
        values = config | {"generators": {"g": generator}, "corpora": config["corpora"] | {"made": made}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
        output = (tmp_path / "output.txt").open("a")
        return subprocess.Popen(
            [*command, *more, "--", target],
            env=os.environ | {"PATH": path, "RULE_KEY": KEY},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return _start


def test_a_killed_step_goes_on_and_a_failed_change_is_made_again(start, tmp_path):
    def rows() -> int:
        return len(pl.read_parquet(tmp_path / PAIRS))

    def output() -> str:
        return (tmp_path / "output.txt").read_text()

    with ChatServer(delay=0.1) as server:
        running = start(server, 20)
        while server.answered < 6:
            assert running.poll() is None, output()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)  # Snakemake and its job, as a machine that goes down
        running.wait()
        time.sleep(0.3)  # for what is in flight
        before = len(server.requests)
        assert start(server, 20, "--unlock").wait() == 0
        assert start(server, 20, "--rerun-incomplete").wait() == 0, output()
        assert rows() == 20 and before < 20 <= len(server.requests) <= 20 + 2
        # How it is reached re-runs nothing.
        assert start(server, 20, concurrency=1, timeout_s=9.0, price={"input": 1.0, "output": 1.0}).wait() == 0
        sent = len(server.requests)
        assert sent <= 20 + 2 and "1 job: 1 write_settings" in output()
        # A change whose job fails is not forgotten.
        server.fault = lambda number, body: 401
        assert start(server, 30).wait() == 1
        server.fault = lambda number, body: None
        asked = len(server.requests)
        assert start(server, 30).wait() == 0, output()
        assert rows() == 30 and len(server.requests) - asked == 10
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 50 and not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_trial_s_answers_are_kept_for_the_whole(start, tmp_path):
    with ChatServer() as server:
        trial = PAIRS.replace("made", "made-trial")
        assert start(server, 12, "--config", "trial={rows: 5}", target=trial).wait() == 0
        assert len(pl.read_parquet(tmp_path / trial)) == 5 == len(server.requests)
        assert start(server, 12).wait() == 0
        assert len(pl.read_parquet(tmp_path / PAIRS)) == 12 == len(server.requests)
    assert [path.name for path in (tmp_path / "resources/answers").glob("*.sqlite")] == ["made.sqlite"]
