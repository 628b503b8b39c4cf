"""PyLate's form for distillation: small tables of ids, texts and scores, with sentence-transformers as the judge."""

import json

import datasets
import pytest
from sentence_transformers.util import resolve_ids

from ascent.errors import AscentError
from support.corpora import corpus, texts
from support.pairs import normalised

QUERIES = [{"query_id": 0, "query": "how tall is K2"}, {"query_id": 1, "query": "who wrote Emma"}]
DOCUMENTS = [
    {"document_id": 7, "document": "K2 has 8,611 metres"},
    {"document_id": 8, "document": "K2 stands in Pakistan"},
    {"document_id": 9, "document": "Jane Austen wrote Emma"},
    {"document_id": 10, "document": "Everest has 8,849 metres"},
    {"document_id": 11, "document": "K2 is 8,611 m tall"},
]
ROWS = [
    {"query_id": 0, "document_ids": [7, 11, 10, 8, 9], "scores": [0.9, 0.88, 0.8, 0.85, 0.1]},
    {"query_id": 1, "document_ids": [9, 7, 10], "scores": [0.5, 0.2, 0.25]},
]
FILES = {"queries": ["queries.parquet"], "documents": ["documents.parquet"], "pairs": {"train": ["scores.parquet"]}}


def write(folder, **tables) -> None:
    given = {"queries": QUERIES, "documents": DOCUMENTS, "scores": ROWS} | tables
    for name, rows in given.items():
        path = folder / f"{name.replace('__', '/')}.parquet"
        path.parent.mkdir(exist_ok=True)
        datasets.Dataset.from_list(rows).to_parquet(path)


def read(folder, **settings):
    reading = corpus("pylate", **FILES | settings).model_copy(update={"max_rejected": 0.5})
    pairs, _, audit = normalised("peaks", reading, folder)
    return pairs, audit["set_aside"]


def test_pairs_are_those_that_sentence_transformers_makes_without_what_scores_too_high(tmp_path):
    write(tmp_path)
    queries, documents, rows = (datasets.Dataset.from_list(each) for each in (QUERIES, DOCUMENTS, ROWS))
    rows.set_transform(resolve_ids({"query_id": queries, "document_ids": documents}, output_format="lists"))
    expected = []
    for row in rows:
        (positive, top), *others = zip(row["documents"], row["scores"], strict=True)
        kept = sorted((each for each in others if each[1] <= 0.95 * top), key=lambda each: -each[1])[:2]
        expected.append((row["query"], positive, [text for text, _ in kept], [top, *(score for _, score in kept)]))
    pairs, _ = read(tmp_path, negatives=2)
    assert texts(pairs, "query", "positive", "negatives", "scores") == expected
    assert expected[0][2] == ["K2 stands in Pakistan", "Everest has 8,849 metres"]


def test_a_column_names_the_positives_and_another_the_scores(tmp_path):
    rows = [{**ROWS[0], "positive_ids": [7, 11], "rerank_scores": [9.0, 4.0, 8.0, 3.9, -5.0]}]
    write(tmp_path, scores=rows)
    pairs, _ = read(tmp_path, positives="positive_ids", scores="rerank_scores", max_share_of_positive=0.9)
    k2, pakistan, emma, everest, tall = (row["document"] for row in DOCUMENTS)
    assert texts(pairs, "positive", "negatives", "scores") == [
        (k2, [everest, pakistan, emma], [9, 8, 3.9, -5]),
        (tall, [emma], [4, -5]),
    ]


def test_ids_are_those_of_each_source(tmp_path):
    other = [{"query_id": 0, "query": "is it safe"}], [{"document_id": 7, "document": "Yes."}]
    write(tmp_path, queries__a=QUERIES, queries__b=other[0], documents__a=DOCUMENTS, documents__b=other[1])
    write(tmp_path, scores__a=ROWS, scores__b=[{"query_id": 0, "document_ids": [7], "scores": [1.0]}])
    patterns = {name: [f"{name}/{{source}}.parquet"] for name in ("queries", "documents")}
    settings = {**patterns, "pairs": {"train": ["scores/{source}.parquet"]}, "sources": ["a", "b"]}
    pairs, _ = read(tmp_path, **settings)
    assert texts(pairs)[2:] == [("is it safe", "Yes.")]
    assert pairs["origin"].to_list() == ["a", "a", "b"]
    with pytest.raises(AscentError, match=r"pattern scores.parquet for each of `sources`; write {source}"):
        corpus("pylate", **FILES, sources=["a"])
    with pytest.raises(AscentError, match=r"pattern queries/{source}.parquet, but `sources` names no"):
        corpus("pylate", **FILES | patterns)


def test_rows_that_cannot_be_used_are_set_aside_with_their_reason(tmp_path):
    bad = {
        "no query has its id, and a text": {"query_id": 5, "document_ids": [7], "scores": [1.0]},
        "no document has its id, and a text": {"query_id": 0, "document_ids": [7, 5], "scores": [1.0, 0.5]},
        "two document texts have its id": {"query_id": 0, "document_ids": [12], "scores": [1.0]},
        "not one score per document": {"query_id": 0, "document_ids": [7, 8], "scores": [1.0]},
        "no document": {"query_id": 0, "document_ids": [], "scores": []},
        "score is not a finite number": {"query_id": 0, "document_ids": [7], "scores": [float("nan")]},
        "a positive without a score": {"query_id": 0, "document_ids": [7], "scores": [1.0], "positive_ids": [8]},
        "no positive": {"query_id": 0, "document_ids": [7], "scores": [1.0], "positive_ids": []},
    }
    rows = [{"positive_ids": row["document_ids"][:1], **row} for row in (*bad.values(), *ROWS * 4)]
    twice = [{"document_id": 12, "document": text} for text in ("one", "other")]
    write(tmp_path, scores=rows, documents=[*DOCUMENTS, *twice, {"document_id": 5, "document": " "}])
    pairs, set_aside = read(tmp_path, positives="positive_ids")
    assert set_aside == dict.fromkeys(bad, 1)
    assert len(pairs) == len(ROWS) * 4
    (tmp_path / "scores.parquet").unlink()
    (tmp_path / "scores.jsonl").write_text(json.dumps({"query_id": 0, "document_ids": [7]}) + "\n")
    with pytest.raises(AscentError, match="column 'scores' is missing.*fix `scores`"):
        read(tmp_path, pairs={"train": ["scores.jsonl"]})
