"""Parts of a corpus, in order, are what is read at once."""

import json

import pytest

from ascent.components import module_of
from ascent.corpora.readers import Rejected
from ascent.errors import AscentError
from ascent.pairs.table import Document, Pair
from support.corpora import corpus

KINDS = (Pair, Document, Rejected)


def read(folder, settings):
    """What a reader yields, by kind."""
    rows = [*module_of(settings).read(folder, settings)]
    return [[row for row in rows if isinstance(row, kind)] for kind in KINDS]


def read_in(folder, settings, parts):
    shares = [module_of(settings).share(folder, settings, part, parts) for part in range(parts)]
    found = [read(folder, share) for share in shares]
    return [[row for part in found for row in part[place]] for place in range(len(KINDS))]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


TABLES = {
    "flag_embedding": lambda n: {"query": f"q{n}", "pos": [f"p{n}"], "neg": []},
    "medi": lambda n: {"query": ["i", f"q{n}"], "pos": ["i", f"p{n}"]},
    "sentence_transformers": lambda n: {"anchor": f"q{n}", "positive": f"p{n}"},
    "table": lambda n: {"query": f"q{n}", "positive": f"p{n}"},
}


@pytest.mark.parametrize("reader", TABLES)
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_files_of_tables_are_shared(tmp_path, reader, parts):
    for file in range(9):
        lines(tmp_path / f"{file}.jsonl", [*(TABLES[reader](10 * file + n) for n in range(file % 4 + 1)), {"other": 1}])
    settings = corpus(reader, pairs={"train": ["[0-6].jsonl"], "test": ["[78].jsonl"]}).reader
    whole = read(tmp_path, settings)
    assert [len(rows) for rows in whole] == [21, 0, 9]
    assert read_in(tmp_path, settings, parts) == whole
    with pytest.raises(AscentError, match="has 9 files, but `parts` is 10"):
        read_in(tmp_path, settings, 10)


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_texts_are_shared_by_files(tmp_path, parts):
    for file in range(8):
        (tmp_path / f"{file}.md").write_text(f"text {file}" if file else " ")
    settings = corpus("text", documents={"train": ["*.md"]}).reader
    whole = read(tmp_path, settings)
    assert [len(rows) for rows in whole] == [0, 7, 1]
    assert read_in(tmp_path, settings, parts) == whole


@pytest.mark.parametrize("parts", [1, 3, 6])
def test_rows_of_scores_are_shared_by_files(tmp_path, parts):
    for source in "ab":
        lines(tmp_path / f"q-{source}.jsonl", [{"query_id": n, "query": f"{source} query {n}"} for n in range(4)])
        lines(tmp_path / f"d-{source}.jsonl", [{"document_id": n, "text": f"{source} text {n}"} for n in range(9)])
        for file in range(3):
            rows = [{"query_id": n, "document_ids": [n, n + file], "scores": [1, 0.5]} for n in range(5)]
            lines(tmp_path / f"s-{source}{file}.jsonl", rows)
    patterns = {"queries": ["q-{source}.jsonl"], "documents": ["d-{source}.jsonl"]}
    settings = corpus("pylate", pairs={"train": ["s-{source}*.jsonl"]}, sources=["b", "a"], **patterns).reader
    whole = read(tmp_path, settings)
    assert [len(rows) for rows in whole] == [24, 0, 6]
    assert read_in(tmp_path, settings, parts) == whole
    with pytest.raises(AscentError, match="has 6 files, but `parts` is 7"):
        read_in(tmp_path, settings, 7)


@pytest.mark.parametrize("parts", [1, 3, 8])
@pytest.mark.parametrize("reader", ["beir", "trec"])
def test_judgements_are_shared_by_queries(tmp_path, reader, parts):
    """Rows set aside come in another order: with the texts, not with the judgements."""
    judged = [(f"q{n % 9}", f"d{n}", n % 3) for n in range(30)] + [
        ("q1", "nowhere", 1),
        ("none", "d1", 1),
        ("q2", "d2", 1),
    ]
    documents, queries = (
        [(f"d{n}", f"text {n}") for n in range(28)] + [("", "no id")],
        [(f"q{n}", f"query {n}") for n in range(9)],
    )
    (tmp_path / "run").write_text("".join(f"q{n % 9} Q0 d{29 - n} {n} 1 bm25\n" for n in range(28)) + "q1\n")
    settings = {"qrels": {"train": ["qrels.tsv"], "test": ["qrels.tsv"]}, "runs": {"train": ["run"]}, "negatives": 3}
    if reader == "beir":
        lines(tmp_path / "corpus.jsonl", [{"_id": id, "text": text} for id, text in documents])
        lines(tmp_path / "queries.jsonl", [{"_id": id, "text": text} for id, text in queries])
        rows = "".join("\t".join(map(str, row)) + "\n" for row in judged)
        (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    else:
        (tmp_path / "collection").write_text("".join(f"{id}\t{text}\n" for id, text in documents))
        (tmp_path / "queries").write_text("".join(f"{id}\t{text}\n" for id, text in queries))
        (tmp_path / "qrels.tsv").write_text(
            "".join(f"{query} 0 {document} {grade}\n" for query, document, grade in judged)
        )
        settings |= {"collection": ["collection"], "queries": ["queries"]}
    settings = corpus(reader, **settings).reader
    pairs, pool, aside = read(tmp_path, settings)
    assert pairs and len(pool) == 2 * 28 and len(aside) > 6
    found = read_in(tmp_path, settings, parts)
    for split in ("train", "test"):
        assert [row for row in found[0] if row.split == split] == [row for row in pairs if row.split == split]
    assert found[1] == pool
    assert sorted(map(repr, found[2])) == sorted(map(repr, aside))
    with pytest.raises(AscentError, match="`parts` is 11, but at most 10 queries of a split are judged; lower it"):
        read_in(tmp_path, settings, 11)


def test_triples_are_shared_by_files_if_they_are_texts(tmp_path):
    for file in range(3):
        (tmp_path / f"{file}.tsv").write_text(f"q{file}\tp\tn\n" * (file + 1))
    settings = corpus("trec", triples={"train": ["*.tsv"]}).reader
    assert read_in(tmp_path, settings, 3) == read(tmp_path, settings)
    settings = corpus("trec", triples={"train": ["*.tsv"]}, collection=["c"], queries=["q"]).reader
    with pytest.raises(AscentError, match="triples of ids are read at once; remove `parts`"):
        read_in(tmp_path, settings, 3)


def test_columns_are_those_of_the_first_file_in_every_part(tmp_path):
    lines(tmp_path / "0.jsonl", [{"anchor": "q", "positive": "p"}])
    lines(tmp_path / "1.jsonl", [{"positive": "r", "anchor": "s"}])
    settings = corpus("sentence_transformers", pairs={"train": ["*.jsonl"]}).reader
    assert read_in(tmp_path, settings, 2) == read(tmp_path, settings) == [[Pair("q", "p"), Pair("s", "r")], [], []]
    settings = corpus("sentence_transformers", pairs={"train": ["0.jsonl"], "test": ["1.jsonl"]}).reader
    with pytest.raises(AscentError, match="its splits have different columns; name those to read in `columns`"):
        read_in(tmp_path, settings, 2)
