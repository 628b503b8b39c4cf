"""A corpus in parts, of which one part's job is killed: the others stay, and it alone is made again."""

from pathlib import Path

import pytest
import yaml

from ascent.corpora.normalise import normalise
from ascent.layout import CORPUS_AUDIT, CORPUS_DOCUMENTS, CORPUS_PAIRS, parts_of
from ascent.settings.corpora import Corpus
from ascent.settings.validation import check
from support.workflow_copy import Copy

pytestmark = pytest.mark.workflow

# Imported by every Python below it. Kills the job of one part, once it has read its rows: before it names its file.
DEADLY = """
import os, signal
replace = os.replace
def deadly(source, target, **options):
    if str(target).endswith("pairs-00001-of-00003.parquet"):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target, **options)
os.replace = deadly
"""


@pytest.fixture
def copy(material, warm_python, tmp_path) -> Copy:
    """A copy whose corpus is in three parts: its rows of training are in three files, and the others in two."""
    config = yaml.safe_load(material.read_text())
    library = config["corpora"]["library"]
    train = (material.parent / "data/train.jsonl").read_text().splitlines(keepends=True)
    for number in range(3):
        (tmp_path / f"train-{number}.jsonl").write_text("".join(train[number::3]))
    library["source"]["paths"][:1] = [f"{tmp_path}/train-{number}.jsonl" for number in range(3)]
    library["reader"]["pairs"]["train"] = ["train-*.jsonl"]
    library["parts"] = 3
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly/sitecustomize.py").write_text(DEADLY)
    return Copy(tmp_path / "ascent", tmp_path / "config.yaml", warm_python)


def test_a_killed_part_is_made_again_alone(copy, tmp_path):
    kinds = [parts_of(kind, 3, corpus="library") for kind in (CORPUS_PAIRS, CORPUS_DOCUMENTS, CORPUS_AUDIT)]
    targets = kinds[0]
    killed = copy.build("--keep-going", *targets, PYTHONPATH=str(tmp_path / "deadly"))
    assert killed.returncode != 0 and "normalise_corpus library 00001 00003" in killed.stdout
    assert [Path(copy / path).exists() for path in targets] == [True, False, True]
    others = {path: (copy / path).stat() for kind in kinds for path in (kind[0], kind[2])}

    assert copy.jobs(*targets) == {"normalise_corpus library 00001 00003"}
    resumed = copy.build(*targets)
    assert resumed.returncode == 0, resumed.stdout
    for path, was in others.items():
        now = (copy / path).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns), path
    # Each part is what it would have been undisturbed.
    corpus = check(Corpus, yaml.safe_load(copy.config.read_text())["corpora"]["library"], "config.yaml")
    for part, path in enumerate(targets):
        files = [tmp_path / f"{part}-{kind}" for kind in ("pairs", "documents", "set_aside")]
        normalise("library", corpus, copy / "resources/corpora/library", *files, part=part, parts=3)
        assert files[0].read_bytes() == (copy / path).read_bytes()
