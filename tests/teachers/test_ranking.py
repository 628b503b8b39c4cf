"""Ranks of positives among a pool, against scores that are compared one by one in float64."""

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from ascent.model.encoder import Encoder
from ascent.pairs.draws import number
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.measures import Ranking, Scoring
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from ascent.teachers import ranking as ranking_module
from ascent.teachers.ranking import count_closer, embed_ranked_pool, rank_pairs
from ascent.teachers.scoring import score_pairs
from support.pairs import filtered
from support.small_recipe import make_model

TEACHER = {"model": "t", "max_tokens": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("teacher") / "t")


@pytest.fixture(scope="module")
def rows(corpus_rows):
    """Queries with one to three answers, some answers of several, in a mixed order; and two answers that differ behind
    what the teacher reads."""
    rows = [Pair(row["query"], row["positive"]) for row in corpus_rows[:40]]
    rows += [Pair(rows[place].query, rows[place + 9].positive) for place in range(12)]
    rows += [Pair(rows[place].query, f"{rows[place].positive} {'more words ' * 40}") for place in (3, 30)]
    rows += [Pair("what is the same", "one two three " * 30 + end) for end in ("first", "second")]
    rows += [Pair("what is the same too", "one two three " * 30 + "third")]
    return rows[::2] + rows[1::2]


def settings(**changes):
    return check(Ranking, {"teacher": TEACHER, "task": "retrieval", "pool": 1000, "seed": 3, **changes}, "ranking.yaml")


def ranks(folder, rows, parts, tmp_path, **changes):
    """The ranks of the rows in so many parts, and the ids of the pool."""
    frame, ranking = pair_frame(rows, "corpus", "eng-Latn"), settings(**changes)
    bounds = [len(frame) * number // parts for number in range(parts + 1)]
    files = [tmp_path / f"{parts}-{number}.parquet" for number in range(parts)]
    for path, (begin, end) in zip(files, pairwise(bounds), strict=True):
        write_pairs(path, frame[begin:end])
    ids, pool = embed_ranked_pool(ranking, folder, files)
    found = [frame for path in files for frame in rank_pairs(ranking, folder, path, files, ids, pool)]
    found = pl.concat(found)
    assert found.select("query_id", "positive_id").equals(frame.select("query_id", "positive_id"))
    return found["rank"].to_list(), [id.decode() for id in ids]


def by_hand(folder, rows, ids):
    encoder = Encoder.of_backbone(folder, settings().teacher)
    texts = {text_id(row.positive): row.positive for row in rows}
    document = encoder.encode(list(texts.values()), side="document", task="retrieval").astype(np.float64)
    embedded = dict(zip(texts, document, strict=True))
    found = []
    for row in rows:
        query = encoder.encode([row.query], side="query", task="retrieval")[0].astype(np.float64)
        answers = {text_id(other.positive) for other in rows if other.query == row.query}
        own = math.fsum(query * embedded[text_id(row.positive)])
        others = [math.fsum(query * embedded[id]) for id in ids if id not in answers]
        found.append(1 + sum(score > own + 1e-6 * np.linalg.norm(query) for score in others))
    return found


def test_ranks_are_those_of_brute_force_in_any_number_of_parts(folder, rows, tmp_path, monkeypatch):
    whole, ids = ranks(folder, rows, 1, tmp_path)
    assert sorted(ids) == sorted({text_id(row.positive) for row in rows})
    assert whole == by_hand(folder, rows, ids) and len(set(whole)) > 20
    monkeypatch.setattr(ranking_module, "_QUERIES", 5)
    monkeypatch.setattr(ranking_module, "_DOCUMENTS", 7)
    monkeypatch.setattr("ascent.pairs.parquet.BATCH", 11)
    assert ranks(folder, rows, 3, tmp_path) == (whole, ids)


@pytest.mark.slow
def test_a_pool_is_drawn_by_texts(folder, rows, tmp_path):
    found, ids = ranks(folder, rows, 3, tmp_path, pool=12)
    drawn = sorted({text_id(row.positive) for row in rows}, key=lambda id: number(3, id))[:12]
    assert ids == sorted(drawn)
    assert found == by_hand(folder, rows, ids) and max(found) <= 13


def test_scores_are_similarities_and_a_part_may_be_empty(folder, rows, tmp_path):
    frame = pair_frame(rows, "corpus", "eng-Latn")
    scoring = check(Scoring, {"teacher": TEACHER, "task": "retrieval"}, "scoring.yaml")
    for name, part in {"all": frame, "none": frame.clear()}.items():
        write_pairs(tmp_path / f"{name}.parquet", part)
    (found,) = score_pairs(scoring, folder, tmp_path / "all.parquet")
    assert found.select("query_id", "positive_id").equals(frame.select("query_id", "positive_id"))
    encoder = Encoder.of_backbone(folder, scoring.teacher)
    for row, score in list(zip(rows, found["score"], strict=True))[::9]:
        query = encoder.encode([row.query], side="query", task="retrieval")[0]
        positive = encoder.encode([row.positive], side="document", task="retrieval")[0]
        assert score == pytest.approx(float(query @ positive), abs=1e-5)
    assert list(score_pairs(scoring, folder, tmp_path / "none.parquet")) == []
    assert (
        list(
            rank_pairs(
                settings(),
                folder,
                tmp_path / "none.parquet",
                [tmp_path / "all.parquet"],
                np.array([], "S32"),
                np.empty((0, 32)),
            )
        )
        == []
    )


def test_documents_that_are_as_close_and_other_answers_do_not_count():
    pool = np.array([[1, 0], [0.8, 0.6], [0.8, 0.6], [0, 1], [0.6, 0.8]], dtype=np.float32)
    queries = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    positives = pool[[1, 4, 0]]
    rows, places = np.array([1, 1]), np.array([0, 4])
    assert count_closer(queries, positives, pool, rows, places).tolist() == [1, 2, 4]


def test_pairs_below_the_top_are_dropped_and_another_top_ranks_nothing_again():
    frame = pair_frame([Pair(text, f"{text} answer") for text in "abcd"], "corpus", "eng-Latn")

    def dataset(top):
        return check(Dataset, {"corpus": "c", "filters": [{"rank": {"teacher": TEACHER, "top": top}}]}, "recipe.yaml")

    def made_up(pairs):
        return pairs.select("query_id", "positive_id").with_columns(rank=pl.Series([1, 2, 3, 9]))

    pairs, audit = filtered("set", dataset(2), [frame], scores=made_up)
    assert pairs["query"].to_list() == ["a", "b"] and pairs.columns == frame.columns
    assert audit["dropped"] == {"positive is not in the teacher's first 2": 2}
    assert audit["filters"][1]["rank_quantiles"]["1.0"] == 9
    assert dataset(2).measures == dataset(5).measures
