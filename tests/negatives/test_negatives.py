"""Hard negatives: the search against brute force, the selection against a table worked out by hand."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.negatives import search as search_module
from ascent.negatives.rows import TrainingRows
from ascent.negatives.search import nearest
from ascent.negatives.selection import mine as mine_into
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.negatives import Mining, Selection


def by_brute_force(queries, documents, depth):
    """Every score in float64; best first, equal ones by index."""
    scores = queries.astype(np.float64) @ documents.astype(np.float64).T
    order = np.lexsort((np.broadcast_to(np.arange(len(documents)), scores.shape), -scores), axis=1)[:, :depth]
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize("cuts", [[], [50], [1, 2, 99], [0, 30, 30, 100]])
@pytest.mark.parametrize("depth", [1, 7, 100, 500])
def test_nearest_is_brute_force_whatever_the_cut(cuts, depth):
    draw = np.random.default_rng(0)
    queries, documents = (draw.standard_normal((rows, 16)).astype(np.float32) for rows in (20, 100))
    expected_scores, expected = by_brute_force(queries, documents, depth)
    scores, indexes = nearest(queries, np.split(documents, cuts), depth)
    assert indexes.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


@pytest.mark.parametrize("cuts", [[], [3], [1, 4, 8], [5, 6]])
@pytest.mark.parametrize("depth", [1, 3, 6, 12])
def test_equal_scores_are_ordered_by_index(cuts, depth):
    documents = np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 0, 1, 3, 0, 1, 2, 0, 1]]
    queries = np.array([[2, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=np.float32)
    _, expected = by_brute_force(queries, documents, depth)
    _, indexes = nearest(queries, np.split(documents, cuts), depth)
    assert indexes.tolist() == expected.tolist()


def mine(shards, frame: pl.DataFrame, mining) -> tuple[pl.DataFrame, dict]:
    """Mine for pairs in memory; return the table of negatives and the audit."""
    with TemporaryDirectory() as folder:
        write_pairs(Path(folder) / "pairs.parquet", frame)
        audit = mine_into(shards, Path(folder) / "pairs.parquet", mining, Path(folder) / "negatives.parquet")
        return pl.read_parquet(Path(folder) / "negatives.parquet"), audit


class InMemory:
    """Shards that lie in memory, the documents cut in two, with the texts' embeddings as given."""

    folder, weights_digest = "shards", "weights"

    def __init__(self, queries: dict[str, list[float]], documents: dict[str, list[float]]):
        self._sides = {"queries": queries, "documents": documents}

    def parts(self, side):
        texts = sorted(self._sides[side], key=text_id)
        ids = np.array([text_id(text) for text in texts], dtype="S32")
        rows = np.array([self._sides[side][text] for text in texts], dtype=np.float32)
        half = len(texts) // 2
        return [(ids[:half], rows[:half]), (ids[half:], rows[half:])]


# The query `q` scores each document by its first number, all other queries by the second.
DOCUMENTS = {
    "p1": [0.80, 0.10],
    "p2": [0.70, 0.20],
    "near": [0.78, 0.30],  # above 95 % of p1's .80 (.76) and of p2's .70 (.665)
    "middle": [0.72, 0.40],  # above p2's bound, below p1's
    "low": [0.60, 0.50],
    "lower": [0.50, 0.60],
    "lowest": [0.40, 0.05],
    "p3": [0.30, 0.90],
}
# The texts that are not positives of `q` come into the shards as positives of other queries.
OTHERS = ("low", "lower", "lowest", "near", "middle", "p3")


def pairs_of(*rows: Pair) -> pl.DataFrame:
    return pair_frame(rows, "x", "eng-Latn")


def mined(mining: dict) -> tuple[list[list[str]], dict]:
    """The negatives chosen for the pairs, (q, p1) and (q, p2) in front, and the audit."""
    others = [Pair(f"holder of {text}", text) for text in OTHERS]
    frame = pairs_of(Pair("q", "p1"), Pair("q", "p2"), *others)
    shards = InMemory({"q": [1, 0], **{pair.query: [0, 1] for pair in others}}, DOCUMENTS)
    table, audit = mine(shards, frame, Mining(model="m", **mining))
    assert table.select("query_id", "positive_id").equals(frame.select("query_id", "positive_id"))
    for row in table.iter_rows(named=True):
        assert row["negative_ids"] == [text_id(text) for text in row["negatives"]]
    return table["negatives"].to_list(), audit


@pytest.mark.parametrize(
    ("mining", "first", "second"),
    [
        # q ranks: p1 .80, near .78, middle .72, p2 .70, low .60, lower .50, lowest .40, p3 .30; p1 and p2 are left out.
        ({"per_query": 2}, ["middle", "low"], ["low", "lower"]),
        ({"per_query": 1}, ["middle"], ["low"]),
        ({"per_query": 9}, ["middle", "low", "lower", "lowest", "p3"], ["low", "lower", "lowest", "p3"]),
        # Ranks count the documents that are not positives: near 0, middle 1, low 2, lower 3, lowest 4, p3 5.
        ({"per_query": 2, "ranks": (2, 4)}, ["low", "lower"], ["low", "lower"]),
        ({"per_query": 2, "ranks": (0, 3)}, ["middle", "low"], ["low"]),
        ({"per_query": 2, "max_share_of_positive": 2.0}, ["near", "middle"], ["near", "middle"]),
        # .60 is 75 % of .80: a candidate at the bound is kept, the bound being half a bit above in float32.
        ({"per_query": 2, "max_share_of_positive": 0.7501}, ["low", "lower"], ["lower", "lowest"]),
    ],
)
def test_the_selection_is_the_one_worked_out_by_hand(mining, first, second):
    found, _ = mined(mining)
    assert found[:2] == [first, second]


def test_the_positive_s_score_is_recorded():
    frame = pairs_of(Pair("q", "p1"), *(Pair(f"holder of {text}", text) for text in DOCUMENTS if text != "p1"))
    shards = InMemory({"q": [1, 0], **{f"holder of {text}": [0, 1] for text in DOCUMENTS}}, DOCUMENTS)
    table, _ = mine(shards, frame, Mining(model="m", per_query=2))
    row = table.row(0, named=True)
    assert row["positive_score"] == pytest.approx(0.80)
    assert row["scores"] == pytest.approx([0.72, 0.70])
    assert row["negatives"] == ["middle", "p2"]


@pytest.mark.slow
def test_a_random_draw_is_seeded_and_stays_within_the_candidates():
    draws = {}
    for seed in range(12):
        mining = {"per_query": 2, "sampling": "random", "seed": seed}
        found, _ = mined(mining)
        assert found == mined(mining)[0]
        assert set(found[0]) < {"middle", "low", "lower", "lowest", "p3"}
        assert len(set(found[0])) == 2
        draws[seed] = tuple(found[0])
    assert len(set(draws.values())) > 3


def test_the_audit_adds_up():
    _, audit = mined({"per_query": 2, "ranks": (1, 5)})
    counts = audit["counts"]
    drops = ("known_positive", "outside_ranks", "above_share_of_positive", "not_needed")
    assert counts["ranked"] == counts["kept"] + sum(counts[reason] for reason in drops)
    assert counts["pairs"] == 8
    assert audit["settings"]["ranks"] == [1, 5]


def test_the_audit_counts_what_was_worked_out_by_hand():
    """One query, two positives, so that every number can be told: depth is the last rank and the two positives."""
    frame = pairs_of(Pair("q", "a"), Pair("q", "b"), Pair("s", "c"), Pair("s", "d"))
    documents = {"a": [0.9, 0.5], "b": [0.8, 0.4], "c": [0.85, 0.95], "d": [0.2, 0.9]}
    shards = InMemory({"q": [1, 0], "s": [0, 1]}, documents)
    table, audit = mine(shards, frame, Mining(model="m", per_query=1, ranks=(0, 2)))
    # q ranks a .90, c .85, b .80, d .20. For a the bound is .855, so c stands and d is not needed; for b it is .76, so
    # c falls and d stands. s ranks c .95, d .90, a .50, b .40: a stands for both, b is not needed.
    assert table["negatives"].to_list() == [["c"], ["d"], ["a"], ["a"]]
    assert audit["counts"] == {
        "pairs": 4,
        "ranked": 16,
        "known_positive": 8,
        "query_itself": 0,
        "outside_ranks": 0,
        "above_share_of_positive": 1,
        "not_needed": 3,
        "kept": 4,
        "pairs_with_fewer_than_asked": 0,
        "pairs_without_negatives": 0,
    }
    assert audit["distinct_negatives"] == 3
    assert audit["margin_of_positive_over_negative"]["p50"] == pytest.approx(
        np.median([0.05, 0.6, 0.45, 0.4]), abs=1e-4
    )
    (dropped,) = audit["examples"]["above_share_of_positive"]
    assert (dropped["query"], dropped["positive"], dropped["candidate"]) == ("q", "b", "c")
    assert (dropped["positive_score"], dropped["candidate_score"]) == (0.8, 0.85)


def test_a_reserve_is_the_next_of_the_list_and_counted():
    others = [Pair(f"holder of {text}", text) for text in OTHERS]
    frame = pairs_of(Pair("q", "p1"), Pair("q", "p2"), *others)
    shards = InMemory({"q": [1, 0], **{pair.query: [0, 1] for pair in others}}, DOCUMENTS)
    plain, before = mine(shards, frame, Selection(model="m", per_query=2))
    table, audit = mine(shards, frame, Selection(model="m", per_query=2, reserve=2))
    assert table.drop("reserve", "reserve_ids", "reserve_scores").equals(plain)
    # See above: of p1's list middle and low are chosen, of p2's low and lower.
    assert table["reserve"].to_list()[:2] == [["lower", "lowest"], ["lowest", "p3"]]
    assert table["reserve_scores"].to_list()[0] == pytest.approx([0.50, 0.40])
    assert table["reserve_ids"].to_list()[0] == [text_id("lower"), text_id("lowest")]
    counts = audit["counts"]
    assert counts["reserved"] == table["reserve"].list.len().sum() > 4
    assert counts["not_needed"] == before["counts"]["not_needed"] - counts["reserved"]
    assert {key: counts[key] for key in before["counts"] if key != "not_needed"} == {
        key: value for key, value in before["counts"].items() if key != "not_needed"
    }
    random, _ = mine(shards, frame, Selection(model="m", per_query=2, reserve=9, sampling="random"))
    kept, reserve = random.row(0, named=True)["negatives"], random.row(0, named=True)["reserve"]
    assert sorted(kept + reserve) == sorted(["middle", "low", "lower", "lowest", "p3"])
    scores = random.row(0, named=True)["reserve_scores"]
    assert scores == sorted(scores, reverse=True)


def test_pairs_with_fewer_negatives_than_asked_are_counted():
    _, audit = mined({"per_query": 2, "ranks": (0, 3)})
    assert audit["counts"]["pairs_with_fewer_than_asked"] >= 1


def test_no_negative_at_all_is_an_error():
    message = (
        r"^shards: mining found no negative for any pair: all \d+ candidates of ranks \[0, 30\] score too high;"
        r" raise max"
    )
    with pytest.raises(AscentError, match=message + "_share_of_positive, or set the data set's mine: false"):
        mined({"max_share_of_positive": 0.01})
    with pytest.raises(
        AscentError, match=r"ranks \[50, 60\] hold no document that is not an answer, of 8 in all; lower them, or"
    ):
        mined({"ranks": (50, 60)})


def test_a_query_with_very_many_answers_is_searched_as_deep_as_it_must_be_and_no_other_is(monkeypatch):
    """Against brute force; what is asked of the search is what each query needs, to a factor of two."""
    draw = np.random.default_rng(0)
    texts = [f"text {i}" for i in range(200)]
    queries = {f"query {i}": draw.standard_normal(8) for i in range(30)}
    documents = {text: draw.standard_normal(8) for text in texts}
    rows = [Pair(query, texts[i]) for i, query in enumerate(queries)]
    rows += [Pair("query 0", text) for text in texts[30:150]] + [Pair("query 1", text) for text in texts[150:153]]
    rows += [Pair("query 2", text) for text in texts[153:]]
    asked = []

    def counted(queries, documents, depth, search=search_module.nearest):
        asked.append((len(queries), depth))
        return search(queries, documents, depth)

    monkeypatch.setattr(search_module, "nearest", counted)
    table, audit = mine(InMemory(queries, documents), pairs_of(*rows), Mining(model="m", per_query=3, ranks=(1, 6)))
    assert sorted(asked) == [(1, 6 + 4), (1, 6 + 48), (1, 6 + 121), (27, 6 + 1)]
    known = {query: {row.positive for row in rows if row.query == query} for query in queries}
    for row, found in zip(rows, table.iter_rows(named=True), strict=True):
        scores = {
            text: float(np.float32(queries[row.query]) @ np.float32(vector)) for text, vector in documents.items()
        }
        others = sorted(scores.keys() - known[row.query], key=lambda text: -scores[text])[1:6]
        assert found["negatives"] == [text for text in others if scores[text] <= 0.95 * scores[row.positive]][:3]
    assert audit["counts"]["ranked"] == sum(6 + len(known[row.query]) for row in rows)


@pytest.mark.parametrize("per_query", [1, 2, 4])
def test_a_query_is_no_candidate_of_itself_unless_it_is_its_answer(per_query):
    """Duplicate questions in both directions, against brute force: each is nearest to itself."""
    draw = np.random.default_rng(0)
    vectors = {text: draw.standard_normal(8) for text in "abcdefgh"}
    vectors = {text: vector / np.linalg.norm(vector) for text, vector in vectors.items()}
    rows = [Pair(one, other) for pair in ("ab", "cd", "ef") for one, other in (pair, pair[::-1])] + [
        Pair("g", "g"),
        Pair("g", "h"),
    ]
    queries, documents = (
        {getattr(row, side): vectors[getattr(row, side)] for row in rows} for side in ("query", "positive")
    )
    mining = Mining(model="m", per_query=per_query, max_share_of_positive=100, ranks=(0, 4))
    table, audit = mine(InMemory(queries, documents), pairs_of(*rows), mining)
    known = {query: {query} | {row.positive for row in rows if row.query == query} for query in queries}
    for row, found in zip(rows, table.iter_rows(named=True), strict=True):
        near = sorted(documents.keys() - known[row.query], key=lambda text: -vectors[row.query] @ vectors[text])[:4]
        bound = 100 * (vectors[row.query] @ vectors[row.positive])
        assert found["negatives"] == [text for text in near if vectors[row.query] @ vectors[text] <= bound][:per_query]
    counts = audit["counts"]
    assert counts["query_itself"] == 6
    drops = ("known_positive", "query_itself", "outside_ranks", "above_share_of_positive", "not_needed")
    assert counts["ranked"] == counts["kept"] + sum(counts[reason] for reason in drops)


def test_shards_of_other_pairs_are_refused():
    frame = pairs_of(Pair("q", "p1"), Pair("unseen", "p2"))
    with pytest.raises(AscentError, match=r"^shards: 1 texts of the pairs are not in the shards; delete the folder"):
        mine(InMemory({"q": [1, 0]}, DOCUMENTS), frame, Mining(model="m"))


def test_negatives_are_read_back_beside_their_pairs(tmp_path):
    frame = pairs_of(Pair("q", "a"), Pair("s", "c"))
    shards = InMemory({"q": [1, 0], "s": [0, 1]}, {"a": [0.9, 0.1], "c": [0.2, 0.9]})
    write_pairs(tmp_path / "pairs.parquet", frame)
    mine_into(shards, tmp_path / "pairs.parquet", Mining(model="m"), tmp_path / "negatives.parquet")
    rows = TrainingRows(tmp_path / "pairs.parquet", tmp_path / "negatives.parquet", tmp_path)
    (found,) = rows.batches("query_id", "positive_id", "negatives")
    assert sorted(found.select("query_id", "positive_id", "negatives").rows()) == sorted(
        [(text_id("q"), text_id("a"), ["c"]), (text_id("s"), text_id("c"), ["a"])]
    )
