import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from ascent.model.batching import Texts, by_length, pad, tokenise


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("budget", [1, 64, 300, 10**6])
@pytest.mark.parametrize("rows", [0, 1, 257])
def test_every_row_comes_once_and_the_budget_holds(rows, budget, packed):
    lengths = np.random.default_rng(rows).integers(1, 65, size=rows).tolist()
    batches = by_length(lengths, budget, packed=packed)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(rows))
    cost = (lambda own: sum(own)) if packed else (lambda own: len(own) * max(own))
    costs = [cost([lengths[row] for row in batch]) for batch in batches]
    assert all(tokens <= budget or len(batch) == 1 for tokens, batch in zip(costs, batches, strict=True))
    for batch, following in pairwise(batches):  # none could have taken the next row, too
        assert cost([lengths[row] for row in (*batch, following[0])]) > budget
    # Longest first throughout, so the first batch asks for the most memory.
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)


def test_rows_of_equal_length_keep_their_order():
    assert [batch.tolist() for batch in by_length([3, 5, 3, 3], 6)] == [[1], [0, 2], [3]]


def test_a_row_without_tokens_is_batched_too():
    assert [batch.tolist() for batch in by_length([0, 0], 10)] == [[0, 1]]


def test_texts_are_the_same_however_they_are_moved():
    draw = np.random.default_rng(0)
    rows = [draw.integers(5, 200, size).astype(np.int32) for size in (3, 1, 7, 2, 2)]
    texts = Texts.of(rows)
    order = np.array([2, 0, 4, 2])
    parts = texts.take(order).split([1, 2, 1])
    assert [[row.tolist() for row in part] for part in parts] == [
        [rows[2].tolist()], [rows[0].tolist(), rows[4].tolist()], [rows[2].tolist()]
    ]  # fmt: skip
    for part in (texts, pickle.loads(pickle.dumps(texts)), *parts):
        assert part.counts.tolist() == part.lengths.tolist() == [len(row) for row in part]
    assert [row.tolist() for row in texts[1:3]] == [row.tolist() for row in rows[1:3]] and len(texts) == 5
    assert texts[-1].tolist() == rows[4].tolist() and texts.ids.dtype == torch.int32


def test_padding_stands_on_the_right_and_is_masked():
    padded = pad([np.array([5, 6, 7]), np.array([8])], pad_id=1)
    assert padded["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert padded["input_ids"].dtype == padded["attention_mask"].dtype == torch.int64
    padded = pad([np.array([5, 6, 7]), np.array([8])], pad_id=1, multiple=4)
    assert padded["input_ids"].tolist() == [[5, 6, 7, 1], [8, 1, 1, 1]]


def test_tokens_are_the_tokenizer_s_of_prompt_and_text_cut_to_length(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    texts = ["return the sum of a list of numbers", "open", ""]
    rows = tokenise(tokenizer, texts, "query: ", 8)
    assert [row.tolist() for row in rows] == [
        tokenizer.encode("query: " + text, truncation=True, max_length=8) for text in texts
    ]
    assert len(rows[0]) == 8
    assert rows[0][-1] == tokenizer.sep_token_id  # the special token at the end survives the cut
    assert tokenise(tokenizer, [], "", 8) == []


def test_a_text_without_tokens_is_one_padding_token(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    rows = tokenise(tokenizer, ["open", ""], "", 8)
    assert [row.tolist() for row in rows] == [tokenizer.encode("open"), [tokenizer.pad_token_id]]
