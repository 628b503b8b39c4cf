"""The names of tasks and benchmarks that recipes are checked against are those of the installed mteb."""

import subprocess
import sys

import pytest

from ascent.files import read_json
from ascent.recipes.recipes import MTEB
from support.small_recipe import ROOT

SIZES = {
    "MTEB(eng, v2)": 41,
    "MTEB(eng, v1)": 56,
    "MTEB(cmn, v1)": 31,
    "MTEB(Multilingual, v2)": 131,
    "MTEB(Code, v1)": 12,
    "BEIR": 15,
    "NanoBEIR": 13,
}


@pytest.fixture(scope="module")
def listed() -> dict:
    return read_json(MTEB)


def test_the_list_is_what_the_installed_mteb_says(tmp_path):
    # In a process of its own, which leaves this one's warnings and logging alone, and without a network.
    output = tmp_path / "mteb_tasks.json"
    code = (
        "import runpy, socket, sys\n"
        "def refuse(*_): raise OSError('no network here')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        f"sys.path.insert(0, 'scripts'); sys.argv = ['list_mteb_tasks.py', '--output', {str(output)!r}]\n"
        "runpy.run_path('scripts/list_mteb_tasks.py', run_name='__main__')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    same = output.read_text() == MTEB.read_text()
    assert same, f"{MTEB.name} is of another mteb; run `python scripts/list_mteb_tasks.py`"


@pytest.mark.parametrize(("benchmark", "size"), SIZES.items())
def test_benchmarks_have_their_known_sizes(listed, benchmark, size):
    assert len(listed["benchmarks"][benchmark]) == size


def test_every_task_of_a_benchmark_is_a_registered_task(listed):
    tasks = set(listed["tasks"])
    assert len(tasks) == len(listed["tasks"])
    assert {name for names in listed["benchmarks"].values() for name in names} <= tasks
