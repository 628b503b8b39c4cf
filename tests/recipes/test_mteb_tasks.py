"""The names of tasks and benchmarks that recipes are checked against are those of the installed mteb."""

import subprocess
import sys

import pytest
import yaml

from ascent.errors import AscentError
from ascent.files import read_json
from ascent.recipes.loading import load_recipes
from ascent.settings.mteb_tasks import MTEB
from support.recipes import changed, filters
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


@pytest.mark.slow
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
    assert {name for names in listed["benchmarks"].values() for name in names} <= set(listed["tasks"])


def test_private_tasks_and_other_modalities_are_told(listed):
    private = {name for name, kind in listed["tasks"].items() if not kind.get("is_public", True)}
    assert sum(name in private for name in listed["benchmarks"]["RTEB(beta)"]) == 13
    assert sum(any(name in private for name in tasks) for tasks in listed["benchmarks"].values()) == 12
    assert listed["tasks"]["Flickr30kI2TRetrieval"]["modalities"] == ["image", "text"]
    assert listed["tasks"]["SciFact"].keys() == {"type", "prompt"}


def test_a_benchmark_s_private_and_other_tasks_are_left_out_by_name(write, listed):
    recipes = load_recipes(write(small=changed(evaluate__benchmarks=["RTEB(beta)"])))
    tasks, whole = recipes.registered_tasks("small"), listed["benchmarks"]["RTEB(beta)"]
    assert (len(tasks), len(whole)) == (17, 30)
    (line,) = recipes.left_out("small")
    assert line.startswith("Left out of RTEB(beta): ") and line.endswith(" (private).")
    assert set(line.split(": ", 1)[1].removesuffix(" (private).").split(", ")) == set(whole) - set(tasks)
    assert load_recipes(write(small=changed(evaluate__benchmarks=["BEIR"]))).left_out("small") == []


def test_a_filter_compares_with_the_tasks_that_have_texts(write):
    against = filters(contamination={"against": ["RTEB(beta)"]})
    recipes = load_recipes(write(small=changed(data__questions__filters=against)))
    assert len(recipes.tested_tasks) == 17
    assert len(recipes.left_out("small")) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluate__mteb_tasks": ["{private}"]},
            (
                "'evaluate.mteb_tasks' names the task '{private}', which is private, so its data cannot be loaded;"
                " remove it."
            ),
        ),
        (
            {"evaluate__mteb_tasks": ["Flickr30kI2TRetrieval"]},
            (
                "'evaluate.mteb_tasks' names the task 'Flickr30kI2TRetrieval', which is a task of image and text, and a"
                " text model"
            ),
        ),
        (
            {"evaluate__benchmarks": ["MIEB(lite)"]},
            "'evaluate.benchmarks' names the benchmark 'MIEB(lite)', which has no public text task; remove it.",
        ),
        (
            {"data__questions__filters": filters(contamination={"against": ["{private}"]})},
            "'data.questions.filters' names the task '{private}', which is private",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(write, listed, changes, message):
    private = next(name for name, kind in listed["tasks"].items() if not kind.get("is_public", True))
    changes = yaml.safe_load(yaml.safe_dump(changes).replace("{private}", private))
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(**changes)))
    assert message.replace("{private}", private) in str(error.value)
