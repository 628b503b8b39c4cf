"""The reader `similarity`: lists and matrices of scored pairs."""

import pytest

from ascent.errors import AscentError
from support.corpora import corpus, texts
from support.pairs import normalised

# ------------------------------------------------------------------ similarity


def test_a_list_of_scored_pairs(tmp_path):
    (tmp_path / "scores.txt").write_text(
        "# Word 1\tWord 2\tScore\nold\tnew\t1.58\r\ncat\tdog\tnan\nlone\nhot\twarm\t9\n"
    )
    pairs, documents, audit = normalised("words", corpus("similarity", scores="scores.txt"), tmp_path)
    assert texts(pairs, "query", "positive", "label", "task", "split") == [
        ("old", "new", 1.58, "sts", "test"),
        ("hot", "warm", 9.0, "sts", "test"),
    ]
    assert documents.is_empty()
    assert audit["set_aside"] == {"no second text": 1, "score is not a finite number": 1}
    assert audit["examples"] == {
        "no second text": ["scores.txt:4"],
        "score is not a finite number": ["scores.txt:3"],
    }


def test_a_matrix_of_scores_gives_each_pair_once(tmp_path):
    (tmp_path / "texts.cor").write_bytes("café\nb\nc".encode("latin-1"))
    (tmp_path / "matrix.txt").write_text("1\t.2\t.3\n0\t1\t.4\n0\t0\t1\n")
    settings = corpus("similarity", scores="matrix.txt", texts="texts.cor", encoding="latin-1")
    pairs = normalised("lee", settings, tmp_path)[0]
    assert texts(pairs, "query", "positive", "label") == [
        ("café", "b", 0.2),
        ("café", "c", 0.3),
        ("b", "c", 0.4),
    ]

    pairs, _, audit = normalised("lee", corpus("similarity", scores="matrix.txt", texts="texts.cor"), tmp_path)
    assert len(pairs) == 1 and audit["set_aside"] == {"first text is not valid UTF-8": 2}

    (tmp_path / "matrix.txt").write_text("1\t.2\n0\t1\n")
    with pytest.raises(AscentError, match=r"matrix.txt: has 2 rows of \[2\] scores for the 3 texts of texts.cor"):
        normalised("lee", settings, tmp_path)
