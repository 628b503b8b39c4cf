"""The warm Python of the tests does what `python` does."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, sys
import torch
print(os.environ["WORD"], sys.argv[1:], __name__, torch.ones(3).sum().item(), flush=True)
if sys.argv[1] == "signal":
    os.kill(os.getpid(), int(sys.argv[2]))
if sys.argv[1] == "raise":
    raise ValueError("no")
sys.exit(sys.argv[2])
"""


@pytest.mark.parametrize("words", [("exit", ""), ("exit", "why"), ("raise", ""), ("signal", "9"), ("signal", "15")])
def test_a_script_prints_and_ends_alike(words, warm_python, tmp_path, monkeypatch):
    monkeypatch.setenv("WORD", "given")
    (tmp_path / "program.py").write_text(PROGRAM)
    warm, cold = (
        subprocess.run([python, "program.py", *words], cwd=tmp_path, capture_output=True, text=True)
        for python in (warm_python, sys.executable)
    )
    assert (warm.returncode, warm.stdout) == (cold.returncode, cold.stdout)
    assert cold.stdout.startswith("given [")
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_fork_too(number, warm_python, tmp_path):
    code = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nos.rename('pid', 'running')\ntime.sleep(100)\n"
    (tmp_path / "program.py").write_text(code)
    process = subprocess.Popen([warm_python, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE)
    while not (tmp_path / "running").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    assert process.stdout.read() == b""  # ends when the fork, which has it, does
