"""Tables in the form of other trainers: small samples of each form, and what must come of them, by hand."""

import json

import pytest

from ascent.corpora.normalise import normalise
from ascent.errors import AscentError
from support.corpora import corpus, texts


def written(folder, name, rows):
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


# ---------------------------------------------------------------- FlagEmbedding

FLAG = [
    {"query": "how tall is K2", "pos": ["8,611 metres"], "neg": ["8,849 metres", "in Pakistan"]},
    {
        "query": "who wrote Emma",
        "pos": ["Jane Austen", "J. Austen"],
        "neg": ["Emily Brontë"],
        "pos_scores": [9.5, 8],
        "neg_scores": [0.25],
        "prompt": "Find the author: ",
        "type": "normal",
    },
    {"query": "a dog runs", "pos": ["a hound runs"], "neg": ["a cat sits"], "prompt": "Similar text", "type": "symmetric_sts"},
    {"query": "refund please", "pos": ["complaint"], "neg": ["praise"], "prompt": "Classify", "type": "symmetric_class"},
    {"query": "GPU drivers", "pos": ["kernel modules"], "neg": [], "prompt": "Topic", "type": "symmetric_clustering"},
    {"query": "is it so", "pos": ["yes"], "neg": ["no"], "pos_scores": None, "neg_scores": None, "type": "only_1neg"},
]


def test_flag_embedding(tmp_path):
    bad = [
        {"query": "q", "pos": [], "neg": ["n"]},
        {"query": "q", "pos": ["p"], "neg": ["n"], "type": "symmetric"},
        {"query": "q", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [1], "neg_scores": [1]},
        {"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [1]},
    ]
    written(tmp_path, "train.jsonl", FLAG + bad)
    pairs, _, audit = normalise("flag", corpus("flag_embedding", pairs={"train": ["*.jsonl"]}), tmp_path)
    assert texts(pairs, "query", "positive", "negatives", "scores", "query_prompt", "document_prompt", "task") == [
        ("how tall is K2", "8,611 metres", ["8,849 metres", "in Pakistan"], None, None, None, "retrieval"),
        ("who wrote Emma", "Jane Austen", ["Emily Brontë"], [9.5, 0.25], "Find the author: ", None, "retrieval"),
        ("who wrote Emma", "J. Austen", ["Emily Brontë"], [8, 0.25], "Find the author: ", None, "retrieval"),
        ("a dog runs", "a hound runs", ["a cat sits"], None, "Similar text", None, "sts"),
        ("refund please", "complaint", ["praise"], None, "Classify", None, "classification"),
        ("GPU drivers", "kernel modules", [], None, "Topic", "Topic", "clustering"),
        ("is it so", "yes", ["no"], None, None, None, "retrieval"),
    ]
    assert audit["set_aside"] == {
        "no positive": 1,
        "unknown type 'symmetric'": 1,
        "not one score per negative": 1,
        "not one score per positive": 1,
    }
    assert len(FLAG) + len(bad) == 6 + sum(audit["set_aside"].values())  # one row has two positives


def test_another_form_is_no_flag_embedding(tmp_path):
    written(tmp_path, "train.jsonl", [{"query": "q", "positive": "p"}])
    with pytest.raises(AscentError, match=r"column 'pos' is missing \(there are: positive, query\); use the reader table with"):
        normalise("flag", corpus("flag_embedding", pairs={"train": ["*.jsonl"]}), tmp_path)
