"""Nothing half-written is taken for finished: not after an error, a full disk or a kill."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ascent import files
from ascent.errors import AscentError, reports_errors
from ascent.files import (
    digest_of,
    folder_atomically,
    read_json,
    read_yaml,
    scratch_in,
    sha256_file,
    write_atomically,
    write_json,
)

SCRIPTS = Path(files.__file__).parent.parent


class Interrupt(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with write_atomically(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_modes_follow_the_umask_whatever_wrote_the_file(tmp_path):
    umask = os.umask(0o027)
    try:
        for write in (write_atomically, folder_atomically):
            with write(tmp_path / write.__name__) as temporary:
                file = temporary if write is write_atomically else temporary / "a"
                file.write_text("x")
                file.chmod(0o600)  # as safetensors does
        write_json(tmp_path / "b.json", 1)
    finally:
        os.umask(umask)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == dict.fromkeys(["write_atomically", "a", "b.json"], "0o640")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with write_atomically(path) as temporary:
            temporary.write_text("half")
            raise Interrupt

    with pytest.raises(Interrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "a.txt").write_text("old")

    def fail():
        with folder_atomically(path) as temporary:
            (temporary / "a.txt").write_text("half")
            raise Interrupt

    with pytest.raises(Interrupt):
        fail()
    assert (path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "model"
    for name in ("old", "new"):
        with folder_atomically(path) as temporary:
            (temporary / "below").mkdir()
            (temporary / "below" / f"{name}.txt").write_text(name)
    assert names(path / "below") == ["new.txt"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.json").write_text("[1]\n")
    monkeypatch.setattr(os, call, full)
    message = r"a\.json: could not be written \(No space left on device\); free some space or fix the path\.$"
    with pytest.raises(AscentError, match=message):
        write_json(tmp_path / "a.json", [2])
    message = r"model: could not be written \(No space left on device\); free some space or fix the path\.$"
    with pytest.raises(AscentError, match=message), folder_atomically(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("x")
    assert names(tmp_path) == ["a.json"]
    assert read_json(tmp_path / "a.json") == [1]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 256 KiB; skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(tiny_disk):
    write_json(tiny_disk / "a.json", "old")
    with pytest.raises(AscentError, match=r"a\.json: could not be written \(No space left on device\)"):
        write_json(tiny_disk / "a.json", "x" * 2**19)
    assert read_json(tiny_disk / "a.json") == "old"
    with (
        pytest.raises(AscentError, match=r"model: could not be written \(No space left on device\)"),
        folder_atomically(tiny_disk / "model") as temporary,
    ):
        (temporary / "weights").write_bytes(bytes(2**19))
    assert names(tiny_disk) == ["a.json"]
    assert write_json(tiny_disk / "b.json", "there is room again") is None


def test_writers_of_tables_and_weights_report_a_full_disk_too(tiny_disk):
    """They write by other means than Python's own files, and with errors of their own."""
    import numpy as np
    import polars as pl
    import torch
    from safetensors.torch import save_file

    from ascent.pairs.table import Pair, pair_frame, write_pairs

    noise = np.random.default_rng(0).integers(0, 2**62, size=2**16)
    pairs = pair_frame([Pair(str(a), str(b)) for a, b in noise.reshape(-1, 2)], "x", "eng-Latn")

    def polars(path):
        pl.DataFrame({"a": noise}).write_parquet(path)

    def numpy(path):
        np.save(path, noise)

    def safetensors(path):
        save_file({"a": torch.from_numpy(noise)}, path)

    for write in (polars, numpy, safetensors):
        with (
            pytest.raises(AscentError, match=r"could not be written \("),
            write_atomically(tiny_disk / "a.npy") as temporary,
        ):
            write(temporary)
        assert names(tiny_disk) == [], write.__name__
    with pytest.raises(AscentError, match=r"could not be written \("):
        write_pairs(tiny_disk / "pairs.parquet", pairs)
    assert names(tiny_disk) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(AscentError, match=r"taken/a\.json: could not be written \(File exists\)"):
        write_json(tmp_path / "taken" / "a.json", 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from ascent.files import folder_atomically, scratch_in, write_atomically
folder = Path(sys.argv[1])
with write_atomically(folder / "a.txt") as file, folder_atomically(folder / "model") as model:
    with scratch_in(folder) as scratch:
        for path in (file, model / "weights", scratch / "sorted"):
            path.write_text("half")
        print("written", flush=True)
        if sys.argv[2] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """Start a process that writes a.txt, the folder model and a scratch folder, and then waits or is killed."""
    started = []

    def _writer(then: str) -> subprocess.Popen:
        code = [sys.executable, "-c", KILLED, tmp_path, then]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(code, env=os.environ | {"PYTHONPATH": str(SCRIPTS)}, text=True, **pipes))
        assert started[-1].stdout.readline() == "written\n"
        return started[-1]

    yield _writer
    for process in started:
        process.kill()
        process.communicate()


def test_what_a_killed_job_left_is_removed_by_the_next_one(writer, tmp_path):
    others = [".a.12345678.json", ".b.12345678.txt", ".a.1234567.txt", ".model-2.12345678", ".a.b.12345678.txt"]
    for name in others:  # of other targets
        (tmp_path / name).touch()
    for _ in range(2):
        assert writer("die").wait() == -signal.SIGKILL
        assert not {"a.txt", "model"} & {*names(tmp_path)}
        assert len(names(tmp_path)) == len(others) + 3
    with write_atomically(tmp_path / "a.txt") as temporary:
        assert len(names(tmp_path)) == len(others) + 3
        temporary.write_text("whole")
    with folder_atomically(tmp_path / "model"):
        assert len(names(tmp_path)) == len(others) + 3
    with scratch_in(tmp_path) as scratch:
        assert names(tmp_path) == sorted([*others, "a.txt", "model", scratch.name])
    assert names(tmp_path) == sorted([*others, "a.txt", "model"])


def test_a_job_that_was_started_again_is_not_disturbed_by_the_first_one(writer, tmp_path):
    """Which a cluster took for dead: it fails, and what it needs meanwhile is its own until then."""
    first = writer("wait")
    with write_atomically(tmp_path / "a.txt") as temporary, scratch_in(tmp_path) as scratch:
        temporary.write_text("again")
        (scratch / "sorted").write_text("again")
        assert len(list(tmp_path.glob(".scratch-*/sorted"))) == 2
        _, error = first.communicate()
        assert first.returncode == 1
        assert "a.txt: could not be written (No such file or directory)" in error
        assert (scratch / "sorted").read_text() == "again"
    assert (tmp_path / "a.txt").read_text() == "again"
    assert names(tmp_path) == ["a.txt", "model"]


def test_what_several_may_write_at_a_time_is_left_alone(writer, tmp_path):
    other = writer("wait")
    write_json(tmp_path / "a.txt", 1, shared=True)
    other.communicate()
    assert other.returncode == 0
    assert (tmp_path / "a.txt").read_text() == "half"


def test_a_spill_of_a_killed_query_is_removed_by_the_next_one(tmp_path):
    from ascent.pairs.database import Database

    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ascent.pairs.database import Database\n"
        "with Database(Path(sys.argv[1])) as database:\n"
        "    database.execute(\"SET memory_limit = '20MB'; SET threads = 1\")\n"
        "    rows = 'SELECT range AS a, hash(range) AS b FROM range(3_000_000)'\n"
        "    database.execute(f'SELECT * FROM ({rows}) ORDER BY b')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    assert done.returncode == -signal.SIGKILL
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) > 10_000_000
    with Database(tmp_path):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_without_locks_what_is_left_stays(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    left = tmp_path / ".scratch-left"
    left.mkdir()
    (left / ".lock").touch()
    with scratch_in(tmp_path) as scratch:
        assert names(tmp_path) == sorted([left.name, scratch.name])
    assert names(tmp_path) == [left.name]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1, float("-inf")]}])
def test_nan_is_refused(tmp_path, value):
    with pytest.raises(AscentError, match=r"a\.json: a value is NaN or infinite; check the step that computed it\."):
        write_json(tmp_path / "a.json", value)
    assert names(tmp_path) == []


def test_json_is_the_same_bytes_whatever_the_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": "ü", "a": 1})
    write_json(tmp_path / "b.json", {"a": 1, "b": "ü"})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": 1, "b": "ü"}
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_json, b'{"a": 1', r"not valid JSON \(.*\); fix the file"),
        (read_json, b"\xff", "byte 0 is not UTF-8; save the file as UTF-8"),
        (read_yaml, b"a: [1", r"not valid YAML \(.*\); fix the file"),
        (read_yaml, b"a: \x00", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, read, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AscentError, match=message) as error:
        read(tmp_path / "file")
    assert str(error.value).startswith(f"{tmp_path / 'file'}: ")
    assert "\n" not in str(error.value)
    with pytest.raises(AscentError, match="nowhere: no such file"):
        read(tmp_path / "nowhere")


def test_a_command_line_reports_an_error_in_one_line(capsys):
    @reports_errors
    def main():
        raise AscentError("a.json: broken; fix it.")

    assert main() == 1
    assert capsys.readouterr().err == "error: a.json: broken; fix it.\n"
    assert reports_errors(lambda: None)() == 0
    assert json.loads("1") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e-4", 1e-4),
        ("a: 1.0e-4", 1e-4),
        ("a: -3", -3),
        ("a: .5", 0.5),
        ("a: 'no'", "no"),
        ('a: "012"', "012"),
        ("a: true", True),
        ("a:", None),
        ("a: 1.2.3", "1.2.3"),
        ("b: &b {c: 1}\na: {<<: *b, d: 2}", {"c": 1, "d": 2}),
    ],
)
def test_yaml_is_read_as_it_looks(tmp_path, text, value):
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml")["a"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3: the key 'a' already stands on line 1; keep one of them\.$"),
        ("c: {a: 1, b: 2, 'a': 3}", r"line 1: the key 'a' already stands on line 1"),
        (
            "b: 1\na: 24:00:00",
            r"line 2: YAML reads 24:00:00 as 86400; write 86400 if that is meant, else '24:00:00' in quotes",
        ),
        ("a: 012345", r"line 1: YAML reads 012345 as 5349; "),
        ("a: [yes, no]", r"line 1: YAML reads yes as true; "),
        ("on: 1", r"line 1: YAML reads on as true; "),
        ("a: 2026-11-28", r"line 1: YAML reads 2026-11-28 as a date; write '2026-11-28' in quotes"),
    ],
)
def test_yaml_that_reads_as_something_else_is_refused(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(AscentError, match=rf"a\.yaml, {message}"):
        read_yaml(tmp_path / "a.yaml")
