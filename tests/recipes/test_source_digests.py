"""Digests of local files: read once, and written again only when a file's content is another."""

import hashlib
import os

import pytest

from ascent.files import read_json
from ascent.recipes import source_digests
from ascent.recipes.loading import load_recipes
from ascent.recipes.source_digests import update_digests
from support.recipes import CORPUS, SMALL


@pytest.fixture
def recipes(write, tmp_path, monkeypatch):
    """The small recipe, whose corpora and model are files here; one corpus is used by nothing."""
    monkeypatch.chdir(tmp_path)
    config = write(small=SMALL)
    for name in [*config["corpora"], "unused"]:
        (tmp_path / f"{name}.jsonl").write_text(name)
        source = {"type": "files", "paths": [f"{name}.jsonl"]}
        config["corpora"][name] = CORPUS | {"source": source}
    (tmp_path / "model" / "more").mkdir(parents=True)
    for file in ("config.json", "more/vocabulary.txt"):
        (tmp_path / "model" / file).write_text(file)
    return load_recipes(config)


def digests(kind: str, name: str) -> dict:
    return read_json(f"resources/digests/{kind}/{name}.json")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_they_are_those_of_the_files_that_recipes_use(recipes, tmp_path):
    (tmp_path / "similar.jsonl").unlink()  # Snakemake names it
    update_digests(recipes)
    assert digests("corpora", "library") == {"library.jsonl": sha256("library")}
    assert digests("corpora", "similar") == {}
    texts = {f"model/{file}": sha256(file) for file in ("config.json", "more/vocabulary.txt")}
    assert digests("models", "tiny") == texts
    assert not (tmp_path / "resources/digests/corpora/unused.json").exists()


def test_a_file_is_read_again_only_when_it_was_touched(recipes, tmp_path, monkeypatch):
    read = []
    whole = source_digests.sha256_file
    monkeypatch.setattr(source_digests, "sha256_file", lambda path: read.append(path) or whole(path))
    update_digests(recipes)
    assert sorted(read) == [
        "library.jsonl",
        "model/config.json",
        "model/more/vocabulary.txt",
        "modules.jsonl",
        "similar.jsonl",
    ]
    read.clear()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "resources").rglob("*.json")}
    update_digests(recipes)
    assert read == []

    os.utime("library.jsonl")
    update_digests(recipes)
    assert read == ["library.jsonl"]
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {
        tmp_path / "resources/digests/known.json"
    }

    before = (tmp_path / "library.jsonl").stat()
    (tmp_path / "library.jsonl").write_text("LIBRARY")
    os.utime("library.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` and rsync leave it
    update_digests(recipes)
    assert digests("corpora", "library") == {"library.jsonl": sha256("LIBRARY")}
