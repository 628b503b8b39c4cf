"""Local data sets of tasks that mteb knows, whose files or cells are damaged. mteb's own code reads them, which takes a
quarter of a second, so fewer are tried than of other readers."""

import json
from pathlib import Path

import datasets
import pytest
from hypothesis import strategies as st

from ascent.errors import AscentError
from support.corpora import corpus
from support.fuzzing import (
    check_counted_or_refused,
    check_sentence,
    damaged,
    fuzzed,
    holds,
    texts,
    unsound_texts,
    values,
)
from support.pairs import normalised

CARD = b"""---
configs:
- config_name: default
  data_files: [{split: train, path: qrels.jsonl}]
- config_name: corpus
  data_files: [{split: corpus, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: queries, path: queries.jsonl}]
---
"""


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# By task: the files of its data set, each in a form of its own.
FILES = {
    "Banking77Classification": {"train.jsonl": lines(*({"text": f"{i} a", "label": i % 2} for i in range(3)))},
    "STSBenchmark": {"train.jsonl": lines(*({"sentence1": f"{i} a", "sentence2": "b", "score": i} for i in range(3)))},
    "SprintDuplicateQuestions": {"train.jsonl": lines({"sent1": ["0 a", "b"], "sent2": ["c", "d"], "labels": [0, 1]})},
    "SciFact": {
        "README.md": CARD,
        "corpus.jsonl": lines({"_id": "1", "title": "A", "text": "one"}, {"_id": "2", "title": "", "text": "two"}),
        "queries.jsonl": lines({"_id": "a", "text": "0 q"}, {"_id": "b", "text": "1 q"}),
        "qrels.jsonl": lines(*({"query-id": query, "corpus-id": "1", "score": 1} for query in "ab")),
    },
}
CELLS = {
    "Banking77Classification": {"label": st.integers(0, 3) | texts},
    "STSBenchmark": {"sentence2": texts, "score": st.just(1) | st.floats(-9, 9)},
}
TEXT = {"Banking77Classification": "text", "STSBenchmark": "sentence1"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def reading(task: str):
    return corpus("mteb", task=task).model_copy(update={"max_rejected": 1.0})


@fuzzed
@pytest.mark.parametrize("task", FILES)
def test_damaged_files_are_counted_or_refused(tmp_path, task, examples):
    """What is kept is written, and the audit counts what is written."""
    files, settings = FILES[task], reading(task)
    folder = write(tmp_path / "data", files)
    pairs, _, _ = normalised("sound", settings, folder)
    assert len(pairs) == 3 - (task in ("SprintDuplicateQuestions", "SciFact"))

    def check(damage):
        name, content = damage
        write(folder, {name: content})
        try:
            check_counted_or_refused(settings, folder)
        finally:
            write(folder, files)

    names = st.sampled_from([*files])
    damage = names.flatmap(lambda name: st.tuples(st.just(name), damaged(files[name])))
    holds(examples, check, times=0.25, damage=damage)


def numbered(number: int, value):
    """A value whose texts begin with a number."""
    if isinstance(value, list):
        return [numbered(number, each) for each in value]
    return f"{number} {value}" if isinstance(value, str) else value


@fuzzed
@pytest.mark.parametrize("task", CELLS)
def test_no_row_of_damaged_cells_is_lost(tmp_path, task, examples):
    """Rows in are rows kept, each by a number that its first text begins with, and rows set aside."""
    settings = reading(task)

    @st.composite
    def rows(draw):
        made = []
        for number in range(draw(st.integers(1, 4))):
            row = {TEXT[task]: f"{number} {draw(texts)}"} | {key: draw(cell) for key, cell in CELLS[task].items()}
            for column in draw(st.lists(st.sampled_from([*row, "more"]), max_size=1)):
                row[column] = numbered(number, draw(unsound_texts | values))
            for column in draw(st.lists(st.sampled_from([*row]), max_size=1)):
                del row[column]
            made.append(row)
        return made

    def check(rows):
        folder = write(tmp_path / "data", {"train.jsonl": lines(*rows)})
        try:
            pairs, _, audit = normalised("odd", settings, folder)
        except AscentError as error:
            check_sentence(error)
            return
        kept = {query.split()[0] for query in pairs["query"]}
        assert kept <= {*map(str, range(len(rows)))}
        assert len(kept) + sum(audit["set_aside"].values()) == len(rows)
        for text in [*pairs["query"], *pairs["positive"]]:
            assert text.strip() and text.encode()

    holds(examples, check, times=0.5, rows=rows())
