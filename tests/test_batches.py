"""Which rows make a batch, and what a batch holds."""

import polars as pl
import pytest
from transformers import AutoTokenizer

from ascent.errors import AscentError
from ascent.pairs import Pair, pair_frame, text_id, write_pairs
from ascent.training.data import TrainingPairs

ROWS, BATCH = 44, 8


def queries_of(data: TrainingPairs, step: int, epochs: float, *, seed: int = 0, rank: int = 0, world: int = 1) -> list[int]:
    batch = data.batch(step, batch_size=BATCH, epochs=epochs, seed=seed, rank=rank, world=world)
    assert batch.rows == len(batch.answers)
    return batch.answers[:, 0].tolist()


def test_a_batch_is_a_pure_function_of_seed_and_step(training_data):
    forwards = [queries_of(training_data, step, 3) for step in range(training_data.steps(BATCH, 3))]
    backwards = [queries_of(training_data, step, 3) for step in reversed(range(training_data.steps(BATCH, 3)))][::-1]
    assert forwards == backwards
    assert forwards != [queries_of(training_data, step, 3, seed=1) for step in range(training_data.steps(BATCH, 3))]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_same_batches(training_data, world):
    for step in range(training_data.steps(BATCH, 1.25)):
        whole = queries_of(training_data, step, 1.25)
        shares = [queries_of(training_data, step, 1.25, rank=rank, world=world) for rank in range(world)]
        assert sorted(query for share in shares for query in share) == sorted(whole)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert training_data.batch(step, batch_size=BATCH, epochs=1.25, seed=0, rank=0, world=world).global_rows == len(whole)


def test_each_pass_has_every_row_once_in_an_order_of_its_own(training_data):
    stream = [query for step in range(training_data.steps(BATCH, 2)) for query in queries_of(training_data, step, 2)]
    first, second = stream[:ROWS], stream[ROWS:]
    assert len(set(first)) == ROWS
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize(
    ("epochs", "rows", "steps"),
    [(1, 44, 6), (0.5, 22, 3), (1.5, 66, 9), (0.01, 1, 1), (2, 88, 11), (1.1, 49, 7), (2.75, 121, 16)],
)
def test_passes_may_be_fractional(training_data, epochs, rows, steps):
    assert training_data.steps(BATCH, epochs) == steps
    sizes = [len(queries_of(training_data, step, epochs)) for step in range(steps)]
    assert sum(sizes) == rows
    assert sizes[:-1] == [BATCH] * (steps - 1)


def test_a_product_a_hair_above_a_whole_number_makes_no_batch_of_its_own(corpus_rows, tiny_model, tmp_path, training_contract):
    rows = [Pair(f"{row['query']} {i}", row["positive"]) for i, row in enumerate(corpus_rows[:100])]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "questions", "eng-Latn"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = TrainingPairs({"x": tmp_path / "pairs.parquet"}, {}, {"x": "retrieval"}, tokenizer, training_contract)
    assert 100 * 1.1 > 110  # in floating point
    assert data.steps(10, 1.1) == 11


def test_a_batch_too_small_for_the_processes_is_refused(training_data):
    with pytest.raises(AscentError, match="a batch of 4 rows cannot be shared by 8 processes; raise batch_size"):
        queries_of(training_data, 5, 1, rank=0, world=8)


def test_a_batch_holds_queries_then_positives_then_negatives_with_their_prompts(training_data, training_rows, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    batch = training_data.batch(0, batch_size=BATCH, epochs=1, seed=0, rank=0, world=1)
    row_of = {int(text_id(row.positive)[:15], 16): row for row in training_rows}
    chosen = [row_of[positive] for positive in batch.document_ids[:BATCH].tolist()]
    texts = [f"question: {row.query}" for row in chosen]
    texts += [row.positive for row in chosen] + [row.negatives[0] for row in chosen]
    expected = tokenizer(texts, truncation=True, max_length=32)["input_ids"]
    assert [row.tolist() for row in batch.tokens] == expected
    ids = [int(text_id(text)[:15], 16) for text in texts[BATCH:]]
    assert batch.document_ids.tolist() == ids


def test_negatives_of_other_pairs_are_refused(training_pairs, training_rows, tiny_model, tmp_path, training_contract):
    row = {"query_id": text_id(training_rows[0].query), "positive_id": text_id(training_rows[0].positive), "negatives": ["x"]}
    pl.DataFrame([row]).write_parquet(tmp_path / "negatives.parquet")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    with pytest.raises(AscentError, match=r"negatives\.parquet: holds negatives of other pairs than .*pairs\.parquet"):
        TrainingPairs(
            {"x": training_pairs}, {"x": tmp_path / "negatives.parquet"}, {"x": "retrieval"}, tokenizer, training_contract
        )


def test_all_answers_of_a_query_are_known_to_each_of_its_rows(tiny_model, tmp_path, training_contract):
    rows = [Pair("a", "first"), Pair("b", "other"), Pair("a", "second")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "x", "eng-Latn"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = TrainingPairs({"x": tmp_path / "pairs.parquet"}, {}, {"x": "retrieval"}, tokenizer, training_contract)
    first, other, second = (int(text_id(row.positive)[:15], 16) for row in rows)
    assert data.answers.tolist() == [[first, second], [other, -1], [first, second]]
