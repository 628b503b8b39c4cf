"""The warm Python of the tests (support/warm.py) does what `python` does."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, sys
loaded = "torch" in sys.modules
import torch
print(loaded, os.environ["WORD"], sys.argv[1:], __name__, torch.ones(3).sum().item(), sys.stdin.read(), flush=True)
if sys.argv[1] == "signal":
    os.kill(os.getpid(), int(sys.argv[2]))
if sys.argv[1] == "raise":
    raise ValueError("no")
sys.exit(int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2])
"""


@pytest.fixture
def warm(warm_python):
    if warm_python == sys.executable:
        pytest.skip("beside a GPU nothing starts warm")
    return warm_python


@pytest.mark.parametrize(
    ("words", "status", "last"),
    [
        (("exit", "0"), 0, ""),
        (("exit", "3"), 3, ""),
        (("exit", "why"), 1, "why"),
        (("raise", ""), 1, "ValueError: no"),
        (("signal", "9"), -9, ""),
        (("signal", "15"), -15, ""),
    ],
)
def test_a_script_prints_and_ends_as_in_an_interpreter(words, status, last, warm, tmp_path, monkeypatch):
    monkeypatch.setenv("WORD", "given")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([warm, "program.py", *words], cwd=tmp_path, input="read", capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout == f"True given {list(words)} __main__ 3.0 read\n"
    assert done.stderr.strip().rpartition("\n")[2] == last


def test_a_signal_that_the_shell_ignores_is_ignored_unless_the_program_handles_it(warm, tmp_path):
    code = """
import os, signal, sys, time
if sys.argv[1] == "handles":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open("pid", "w").close()
os.rename("pid", "running")
for _ in range(20):
    time.sleep(0.05)
"""
    (tmp_path / "program.py").write_text(code)
    for word, status in (("handles", 7), ("leaves", 0)):
        (tmp_path / "running").unlink(missing_ok=True)
        process = subprocess.Popen(["sh", "-c", f"trap '' TERM; exec {warm} program.py {word}"], cwd=tmp_path)
        while not (tmp_path / "running").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_fork_too(number, warm, tmp_path):
    code = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nos.rename('pid', 'running')\ntime.sleep(100)\n"
    (tmp_path / "program.py").write_text(code)
    process = subprocess.Popen([warm, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE)
    while not (tmp_path / "running").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    assert process.stdout.read() == b""  # ends when the fork, which has it, does
