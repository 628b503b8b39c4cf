import contextlib
import hashlib
import io
import json
import pickle
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ascent.errors import AscentError
from ascent.settings.sources import Files, Hub, Pypi
from ascent.sources import retrieve

SCRIPT = Path(__file__).parents[2] / "scripts" / "retrieve_resource.py"
ROWS = b'{"query": "q", "positive": "p"}\n'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def source_archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index on this machine; `offer` puts a file on it and returns its pinned source."""
    root = tmp_path / "index"
    requested = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requested.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("PIP_CERT", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)

    def offer(content: bytes, filename="some_data-1.0.tar.gz", announced=None, **settings) -> Pypi:
        page = root / "simple" / "some-data" / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = announced or sha256(content)
        page.write_text(f'<a href="/{filename}#sha256={digest}">{filename}</a>')
        (root / filename).write_bytes(content)
        values = {
            "type": "pypi",
            "name": "some-data",
            "version": "1.0",
            "sha256": digest,
            "members": ["*.jsonl"],
        }
        return Pypi(**(values | settings))

    offer.requested = requested
    yield offer
    server.shutdown()
    server.server_close()


def fetch(source, tmp_path, name="corpus"):
    retrieve(source, tmp_path / name, "corpora", tmp_path / "cache")
    return tmp_path / name


@pytest.mark.parametrize("make", [wheel, source_archive])
def test_members_of_a_package_are_kept_with_their_provenance(index, tmp_path, make):
    archive = make({"some/data/rows.jsonl": ROWS, "some/data/deep/more.jsonl": b"", "some/setup.py": b"1 / 0"})
    filename = "some_data-1.0-py3-none-any.whl" if make is wheel else "some_data-1.0.tar.gz"
    folder = fetch(index(archive, filename, strip="some/data"), tmp_path)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "deep/more.jsonl",
        "provenance.json",
        "rows.jsonl",
    ]
    assert (folder / "rows.jsonl").read_bytes() == ROWS
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["files"]["rows.jsonl"] == {"bytes": len(ROWS), "sha256": sha256(ROWS)}
    assert provenance["source"]["sha256"] == sha256(archive)


def test_a_package_is_fetched_once_for_two_corpora(index, tmp_path):
    source = index(source_archive({"a.jsonl": ROWS, "b.jsonl": ROWS}))
    fetch(source.model_copy(update={"members": ["a.jsonl"]}), tmp_path, "a")
    fetch(source.model_copy(update={"members": ["b.jsonl"]}), tmp_path, "b")
    assert index.requested.count("/some_data-1.0.tar.gz") == 1


def test_a_broken_cache_is_fetched_again(index, tmp_path):
    source = index(source_archive({"a.jsonl": ROWS}))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / source.sha256).write_bytes(b"half")
    assert (fetch(source, tmp_path) / "a.jsonl").read_bytes() == ROWS


def test_a_wrong_checksum_is_refused(index, tmp_path):
    replaced = index(source_archive({"a.jsonl": b"replaced"}), announced="ab" * 32)
    with pytest.raises(AscentError, match=r"some_data-1.0.tar.gz: its SHA-256 is .*, but (ab){32} is pinned"):
        fetch(replaced, tmp_path)
    assert not (tmp_path / "corpus").exists()
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


@pytest.mark.slow
def test_a_pinned_digest_that_the_index_does_not_offer_is_refused(index, tmp_path):
    source = index(source_archive({"a.jsonl": ROWS}))
    with pytest.raises(AscentError, match=r"some-data 1.0: no file has the pinned SHA-256 0+; pin one of"):
        fetch(source.model_copy(update={"sha256": "0" * 64}), tmp_path)
    with pytest.raises(AscentError, match="the pinned file is of version 1.0; fix `version` or `sha256`"):
        fetch(source.model_copy(update={"version": "2.0"}), tmp_path)
    with pytest.raises(AscentError, match="no such package; check `name`"):
        fetch(source.model_copy(update={"name": "no-data"}), tmp_path)


def test_an_index_that_does_not_answer_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setattr("ascent.sources.pypi.Retry", lambda *_, **__: 0)
    source = Pypi(type="pypi", name="some-data", version="1.0", sha256="0" * 64, members=["*"])
    with pytest.raises(AscentError, match="some-data 1.0: the package index does not answer"):
        fetch(source, tmp_path)


@pytest.mark.slow
def test_a_pattern_that_matches_nothing_is_named(index, tmp_path):
    source = index(source_archive({"data/train.jsonl": ROWS}), members=["data/train.jsonl", "data/trian.json"])
    with pytest.raises(AscentError, match="no member matches 'data/trian.json'; did you mean 'data/train.jsonl'"):
        fetch(source, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../out.jsonl", "/tmp/out.jsonl", "data/../../out.jsonl", "..\\out.jsonl"])
@pytest.mark.parametrize("make", [wheel, source_archive])
def test_a_member_that_escapes_is_refused(index, tmp_path, make, name):
    with pytest.raises(AscentError, match="would be written outside its folder"):
        fetch(index(make({name: ROWS})), tmp_path)
    assert not list(tmp_path.rglob("out.jsonl"))


def test_stripping_cannot_make_a_member_escape(index, tmp_path):
    with pytest.raises(AscentError, match="would be written outside its folder"):
        fetch(index(source_archive({"data//etc/out.jsonl": ROWS}), strip="data"), tmp_path)


def test_a_link_is_refused(index, tmp_path):
    with pytest.raises(AscentError, match="member 'a.jsonl' is a link"):
        fetch(index(source_archive({}, links={"a.jsonl": "/etc/hostname"})), tmp_path)


def test_a_pickle_is_refused(index, tmp_path):
    archive = wheel({"model/pytorch_model.bin": pickle.dumps({})})
    with pytest.raises(AscentError, match="member 'model/pytorch_model.bin' may be a pickle"):
        fetch(index(archive, "some_data-1.0-py3-none-any.whl", members=["model/*"]), tmp_path)


def test_a_package_that_is_no_archive_is_refused(index, tmp_path):
    with pytest.raises(AscentError, match="not a readable zip or tar archive"):
        fetch(index(b"<html>not found</html>"), tmp_path)


def test_files_and_folders_are_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("raw/model").mkdir(parents=True)
    Path("raw/train.jsonl").write_bytes(ROWS)
    Path("raw/model/config.json").write_bytes(b"{}")
    source = Files(type="files", paths=["raw/train.jsonl", "raw/model"], sha256={"train.jsonl": sha256(ROWS)})
    folder = fetch(source, tmp_path)
    Path("raw/train.jsonl").write_bytes(b"changed")
    assert (folder / "train.jsonl").read_bytes() == ROWS
    assert list(json.loads((folder / "provenance.json").read_text())["files"]) == [
        "config.json",
        "train.jsonl",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"paths": ["nowhere.jsonl"]}, "nowhere.jsonl: no such file or folder"),
        (
            {"paths": ["a.jsonl"], "sha256": {"a.jsonl": "0" * 64}},
            "a.jsonl: its SHA-256 is .*, but 0+ is pinned",
        ),
        (
            {"paths": ["a.jsonl"], "sha256": {"b.jsonl": "0" * 64}},
            "no file 'b.jsonl' in `paths`; did you mean 'a.jsonl'",
        ),
        ({"paths": ["a.jsonl", "other/a.jsonl"]}, "another of `paths` also gives a file 'a.jsonl'"),
        ({"paths": ["empty"]}, "the source gave no files"),
    ],
)
def test_bad_files_are_refused(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("other", "empty"):
        Path(folder).mkdir()
    for file in ("a.jsonl", "other/a.jsonl"):
        Path(file).write_bytes(ROWS)
    with pytest.raises(AscentError, match=message):
        fetch(Files(type="files", **settings), tmp_path)
    assert not (tmp_path / "corpus").exists()


def test_a_hub_repository_is_fetched_at_its_revision(tmp_path, monkeypatch):
    asked = {}

    def snapshot_download(id, *, local_dir, **options):
        asked.update(options, id=id)
        (Path(local_dir) / ".cache" / "huggingface").mkdir(parents=True)
        (Path(local_dir) / "train.jsonl").write_bytes(ROWS)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    source = Hub(type="hub", id="some/data", revision="a" * 40, files=["*.jsonl"])
    folder = fetch(source, tmp_path)
    assert asked["id"] == "some/data" and asked["revision"] == "a" * 40 and asked["repo_type"] == "dataset"
    assert asked["allow_patterns"] == ["*.jsonl"] and "*.bin" in asked["ignore_patterns"]
    assert sorted(path.name for path in folder.iterdir()) == ["provenance.json", "train.jsonl"]


@pytest.mark.parametrize(("kind", "call"), [("corpora", "dataset_info"), ("models", "model_info")])
def test_a_hub_repository_without_a_revision_is_refused_with_the_command_that_looks_it_up(
    tmp_path, monkeypatch, kind, call
):
    """The command is run, as far as the hub's answer."""
    with pytest.raises(AscentError, match="^some/thing: the catalogue pins no `revision`") as refused:
        retrieve(Hub(type="hub", id="some/thing"), tmp_path / "thing", kind, tmp_path)
    (code,) = re.findall(r'python -c "(.*)"$', str(refused.value))
    monkeypatch.setattr(f"huggingface_hub.{call}", lambda name: SimpleNamespace(sha=f"commit of {name}"))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code)
    assert printed.getvalue() == "commit of some/thing\n"


def test_a_hub_that_fails_is_reported(tmp_path, monkeypatch):
    def snapshot_download(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    source = Hub(type="hub", id="some/data", revision="a" * 40)
    with pytest.raises(AscentError, match="some/data@aaaaaaaa: could not be retrieved .*no route to host"):
        fetch(source, tmp_path)


def test_the_command_reads_the_source_of_a_corpus_and_reports_in_one_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(ROWS)
    corpus = {"source": {"type": "files", "paths": ["a.jsonl"]}}
    command = [
        sys.executable,
        SCRIPT,
        "--kind",
        "corpora",
        "--settings",
        "corpus.yaml",
        "--output",
        "out/corpus",
    ]

    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(corpus))
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "out/corpus/a.jsonl").read_bytes() == ROWS

    corpus["source"]["paths"] = ["b.jsonl"]
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(corpus))
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    expected = "error: b.jsonl: no such file or folder; check `paths` (relative to the folder of the run).\n"
    assert run.stderr == expected
