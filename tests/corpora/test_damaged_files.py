"""Files of the field's forms that are damaged at random: each is read, with what is lost counted, or refused in one
sentence."""

import json
import random
import re
from collections import Counter

import pytest

from ascent.components import module_of
from ascent.corpora.readers import Rejected
from ascent.errors import AscentError
from support.corpora import corpus

ODD = [
    b"\0",
    b"\xff",
    b"\r",
    b"\n",
    b"\t",
    b'"',
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"null",
    b"9" * 5000,
]
SAMPLES = {
    "flag_embedding": {
        "train.jsonl": [
            {"query": "q", "pos": ["p", "r"], "neg": ["n"], "pos_scores": [1, 2], "neg_scores": [0], "type": "normal"},
            {"query": "s", "pos": ["t"], "neg": [], "prompt": "like", "type": "symmetric_sts"},
        ]
    },
    "medi": {"train.jsonl": [{"query": ["a", "q"], "pos": ["b", "p"], "neg": ["b", "n"], "task_name": "t"}] * 2},
    "sentence_transformers": {"train.jsonl": [{"anchor": f"q{i}", "positive": "p", "negative": "n"} for i in range(3)]},
    "beir": {
        "train.tsv": "query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t0\n",
        "corpus.jsonl": [{"_id": "a", "title": "A", "text": "one"}, {"_id": "b", "text": "two"}],
        "queries.jsonl": [{"_id": "q", "text": "which"}],
    },
    "trec": {
        "train.tsv": "1 0 7 1\n2\t0\t8\t2\n",
        "collection.tsv": "7\tone\n8\ttwo\n9\tthree\n",
        "queries.tsv": "1\twhich\n2\tthat\n",
        "a.run": "1 Q0 9 1 0.5 bm25\n2\t9\t1\n",
        "ids.tsv": "1\t7\t9\n2\t8\t9\n",
    },
}
FILES = {
    "beir": {"qrels": {"train": ["train.tsv"]}},
    "trec": {
        "qrels": {"train": ["train.tsv"]},
        "collection": ["collection.tsv"],
        "queries": ["queries.tsv"],
        "runs": {"train": ["a.run"]},
        "triples": {"train": ["ids.tsv"]},
    },
}


def damaged(content: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(content) + 1)
        content = draw.choice(
            [
                content[:at],
                content[:at] + content[at + draw.randrange(1, 20) :],
                content[:at] + draw.choice(ODD) + content[at:],
                content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :],
                content[at:] + content[:at],
            ]
        )
    return content


@pytest.mark.parametrize("reader", SAMPLES)
def test_damage_is_counted_or_refused(tmp_path, reader):
    draw, outcomes = random.Random(0), set()
    settings = corpus(reader, **FILES.get(reader, {"pairs": {"train": ["train.jsonl"]}})).reader
    files = {
        name: text if isinstance(text, str) else "".join(json.dumps(row) + "\n" for row in text)
        for name, text in SAMPLES[reader].items()
    }
    for _ in range(50):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        file = tmp_path / draw.choice([*files])
        file.write_bytes(damaged(file.read_bytes(), draw))
        try:
            rows = Counter(type(row) for row in module_of(settings).read(tmp_path, settings))
        except AscentError as error:
            outcomes.add("refused" if "\n" not in str(error) else str(error))
            continue
        outcomes.add("counted" if rows[Rejected] else "whole")
        lines = [line for line in re.split(rb"[\r\n]", file.read_bytes()) if line.strip()] or [b"the file itself"]
        if reader in ("medi", "sentence_transformers") and not lines[0].lstrip().startswith(b"["):
            assert rows.total() == len(lines)
    assert {"counted"} <= outcomes <= {"refused", "counted", "whole"}
