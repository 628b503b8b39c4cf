import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from ascent.model.batching import by_length, pad, tokenise


@pytest.mark.parametrize("budget", [1, 64, 300, 10**6])
@pytest.mark.parametrize("rows", [0, 1, 257])
def test_every_row_comes_once_and_the_budget_holds(rows, budget):
    lengths = np.random.default_rng(rows).integers(1, 65, size=rows).tolist()
    batches = by_length(lengths, budget)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(rows))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= budget or len(batch) == 1
    # Longest first throughout, so the first batch asks for the most memory.
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)


def test_rows_of_equal_length_keep_their_order():
    assert [batch.tolist() for batch in by_length([3, 5, 3, 3], 6)] == [[1], [0, 2], [3]]


def test_a_row_without_tokens_is_batched_too():
    assert [batch.tolist() for batch in by_length([0, 0], 10)] == [[0, 1]]


def test_padding_stands_on_the_right_and_is_masked():
    padded = pad([np.array([5, 6, 7]), np.array([8])], pad_id=1)
    assert padded["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert padded["input_ids"].dtype == padded["attention_mask"].dtype == torch.int64


def test_tokens_are_the_tokenizer_s_of_prompt_and_text_cut_to_length(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    texts = ["return the sum of a list of numbers", "open", ""]
    rows = tokenise(tokenizer, texts, "query: ", 8)
    assert [row.tolist() for row in rows] == [tokenizer.encode("query: " + text, truncation=True, max_length=8) for text in texts]
    assert len(rows[0]) == 8
    assert rows[0][-1] == tokenizer.sep_token_id  # the special token at the end survives the cut
    assert tokenise(tokenizer, [], "", 8) == []


def test_a_text_without_tokens_is_one_padding_token(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    rows = tokenise(tokenizer, ["open", ""], "", 8)
    assert [row.tolist() for row in rows] == [tokenizer.encode("open"), [tokenizer.pad_token_id]]
