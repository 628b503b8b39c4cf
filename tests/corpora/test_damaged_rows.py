"""Corpora of every reader whose files or cells are damaged: each row is kept or set aside, and none is lost."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import strategies as st

from ascent.errors import AscentError
from ascent.settings.base import components
from ascent.settings.tables import Reader
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

TRAIN = {"pairs": {"train": ["train.jsonl"]}}
QUESTION = {"3": {"en": "is it", "domain": "d", "answers": ["1"], "negatives": ["2"]}}
DOCUMENTS = {"documents": {"train": ["train.jsonl"]}}


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def kept(pairs, documents) -> int:
    """Rows of pairs that were kept, by the number that each query begins with."""
    return len({query.split()[0] for query in pairs["query"]})


@dataclass
class Case:
    """A reader's settings, a corpus's sound files, and the cells of its rows by column, each a good one.

    rows: how many rows were kept, of pairs and documents.
    """

    settings: dict
    files: dict[str, bytes]
    cells: dict[str, st.SearchStrategy] = field(default_factory=dict)
    rows: Callable = kept
    begins: Callable = str.__add__


number = st.just(1) | st.floats(-9, 9) | st.just("2.5")
some = st.lists(texts, max_size=2)
side = st.tuples(texts, texts).map(list) | texts.map(lambda text: [text])
CASES = {
    "table": Case(
        {
            **TRAIN,
            "columns": {"negatives": ["neg"], "label": "score", "query_prompt": "how"},
        },
        {"train.jsonl": lines({"query": "0 q", "positive": ["p", "r"], "neg": ["n"], "score": 1, "how": "so"}) * 3},
        {"positive": texts | some, "neg": texts | some, "score": number, "how": texts},
    ),
    "flag_embedding": Case(
        TRAIN,
        {
            "train.jsonl": lines(
                {"query": "0 q", "pos": ["p"], "neg": ["n"], "pos_scores": [1], "neg_scores": [0], "type": "normal"},
                {"query": "1 s", "pos": ["t"], "neg": [], "prompt": "like", "type": "symmetric_sts"},
            )
        },
        {"pos": some, "neg": some, "prompt": texts, "type": st.sampled_from(["normal", "symmetric_clustering"])},
    ),
    "medi": Case(
        TRAIN,
        {"train.jsonl": lines({"query": ["a", "0 q"], "pos": ["b", "p"], "neg": ["b", "n"], "task_name": "t"}) * 2},
        {"pos": side, "neg": side, "task_name": texts},
        begins=lambda begin, query: ["so", begin + query],
    ),
    "sentence_transformers": Case(
        {**TRAIN, "columns": ["query", "positive", "negative"]},
        {"train.jsonl": lines(*({"query": f"{i} q", "positive": "p", "negative": "n"} for i in range(3)))},
        {"positive": texts, "negative": texts},
    ),
    "text": Case(
        {**DOCUMENTS, "columns": {"text": "query", "title": "title", "id": "id"}},
        {"train.jsonl": lines({"query": "0\nSome text.", "title": "T", "id": "1"}) * 3},
        {"title": texts, "id": texts | st.integers()},
        rows=lambda pairs, documents: len({text.split()[0] for text in documents["text"]}),
    ),
    "beir": Case(
        {"qrels": {"train": ["train.tsv"]}},
        {
            "train.tsv": b"query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t0\n",
            "corpus.jsonl": lines({"_id": "a", "title": "A", "text": "one"}, {"_id": "b", "text": "two"}),
            "queries.jsonl": lines({"_id": "q", "text": "which"}),
        },
    ),
    "trec": Case(
        {
            "qrels": {"train": ["train.tsv"]},
            "collection": ["collection.tsv"],
            "queries": ["queries.tsv"],
            "runs": {"train": ["a.run"]},
            "triples": {"train": ["ids.tsv"]},
        },
        {
            "train.tsv": b"1 0 7 1\n2\t0\t8\t2\n",
            "collection.tsv": b"7\tone\n8\ttwo\n9\tthree\n",
            "queries.tsv": b"1\twhich\n2\tthat\n",
            "a.run": b"1 Q0 9 1 0.5 bm25\n2\t9\t1\n",
            "ids.tsv": b"1\t7\t9\n2\t8\t9\n",
        },
    ),
    "pylate": Case(
        {
            "pairs": {"train": ["train.jsonl"]},
            "queries": ["queries.jsonl"],
            "documents": ["documents.jsonl"],
        },
        {
            "train.jsonl": lines({"query_id": 1, "document_ids": [7, 8], "scores": [0.9, 0.1]}) * 2,
            "queries.jsonl": lines({"query_id": 1, "query": "which"}),
            "documents.jsonl": lines({"document_id": 7, "document": "one"}, {"document_id": 8, "text": "two"}),
        },
    ),
    "similarity": Case({"scores": "s.tsv"}, {"s.tsv": b"# comment\na\tb\t1.5\nc\td\t2\n"}),
    "insuranceqa": Case(
        {},
        {
            f"{name}.json.gz": json.dumps(rows).encode()
            for name, rows in {
                "answers": {"1": {"en": "yes", "zh": "是"}, "2": {"en": "no", "zh": "否"}},
                "train": QUESTION,
                "valid": QUESTION,
                "test": QUESTION,
            }.items()
        },
    ),
    "synthesised": Case(
        {},
        {
            "rows.jsonl": lines(
                {"query": "q", "positive": "p", "negatives": ["n"], "split": "train", "task": "retrieval"}
            ),
            "set_aside.jsonl": lines({"reason": "no answer", "split": "train"}),
        },
    ),
}
CASES["matrix"] = Case(
    {"type": "similarity", "scores": "s.txt", "texts": "t.txt"}, {"s.txt": b"1 .5\n.5 1\n", "t.txt": b"one\ntwo\n"}
)


def write(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


def reading(name: str):
    settings = CASES[name].settings
    return corpus(
        settings.get("type", name), **{key: each for key, each in settings.items() if key != "type"}
    ).model_copy(update={"max_rejected": 1.0})


def test_every_reader_has_a_case():
    """But for `mteb`, which test_damaged_mteb.py has."""
    assert {CASES[name].settings.get("type", name) for name in CASES} == components(Reader).keys() - {"mteb"}


@fuzzed
@pytest.mark.parametrize("reader", CASES)
def test_damaged_files_are_counted_or_refused(tmp_path, reader, examples):
    """Bytes of any of a corpus's files; what is kept is written, and the audit counts what is written."""
    case, settings = CASES[reader], reading(reader)
    for name, content in case.files.items():
        write(tmp_path, name, content)
    assert normalised("sound", settings, tmp_path)[2]["kind"] == "corpus"

    def check(damage):
        name, content = damage
        write(tmp_path, name, content)
        try:
            check_counted_or_refused(settings, tmp_path)
        finally:
            write(tmp_path, name, case.files[name])

    names = st.sampled_from([*case.files])
    damage = names.flatmap(lambda name: st.tuples(st.just(name), damaged(case.files[name])))
    holds(examples, check, damage=damage)


@fuzzed
@pytest.mark.parametrize("reader", [name for name, case in CASES.items() if case.cells])
def test_no_row_of_damaged_cells_is_lost(tmp_path, reader, examples):
    """Cells are missing, of another type, nested, or awkward texts, lone surrogates among them. Rows in are rows kept,
    each by a number that its query begins with, and rows set aside."""
    case, settings = CASES[reader], reading(reader)

    @st.composite
    def rows(draw):
        made = []
        for number in range(draw(st.integers(1, 4))):
            row = {column: draw(cell) for column, cell in case.cells.items()}
            row["query"] = case.begins(f"{number} ", draw(texts))
            for column in draw(st.lists(st.sampled_from([*row, "more"]), max_size=2)):
                row[column] = draw(values.filter(lambda value: not isinstance(value, str)))
            for column in draw(st.lists(st.sampled_from([*case.cells]), max_size=1)):
                row[column] = draw(unsound_texts)
            for column in draw(st.lists(st.sampled_from([*row]), max_size=1)):
                del row[column]
            made.append(row)
        return made

    def check(rows):
        (tmp_path / "train.jsonl").write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        try:
            pairs, documents, audit = normalised("odd", settings, tmp_path)
        except AscentError as error:
            check_sentence(error)
            return
        assert case.rows(pairs, documents) + sum(audit["set_aside"].values()) == len(rows)
        for text in [
            *pairs["query"],
            *pairs["positive"],
            *pairs["negatives"].explode().drop_nulls(),
            *documents["text"],
        ]:
            assert text.strip() and text.encode()

    holds(examples, check, times=2, rows=rows())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "\udc80train"}, "split is unknown"),
        ({"task": "retrievel"}, "task is unknown"),
        ({"negatives": ["n", "\ud800"]}, "negative is not valid UTF-8"),
        ({"label": "x"}, "label is not a number"),
        ({"label": 10**400}, "label is not a finite number"),
        ({"scores": 5}, "scores are not a list"),
        ({"scores": ["x", "y"]}, "score is not a number"),
        *(({"negatives": odd}, "negatives are not a list") for odd in (None, False, 0, {}, {"n": 1}, "n")),
        ({"query_prompt": 5}, "query_prompt is not text"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_synthesis_does_not_write_is_refused(tmp_path, change, reason):
    """Of its own files nothing is set aside: a damaged one is made again."""
    row = json.loads(CASES["synthesised"].files["rows.jsonl"]) | change
    write(tmp_path, "rows.jsonl", lines(row))
    write(tmp_path, "set_aside.jsonl", b"")
    with pytest.raises(AscentError, match=rf"rows.jsonl: row 1 is not as synthesis writes it \({reason}\); remove the"):
        normalised("made", reading("synthesised"), tmp_path)
