"""Tokens of texts, counted or estimated."""

import polars as pl
import pytest
from transformers import AutoTokenizer

from ascent.planning.token_counts import SAMPLE, TokenCounter

# ---------------------------------------------------------------- tokens


def test_tokens_of_every_text_are_those_of_transformers(tiny_resource, corpus_rows):
    texts = [row["positive"] for row in corpus_rows]
    assert len(texts) <= SAMPLE
    found = TokenCounter(tiny_resource, 32).count(pl.Series(texts), "question: ")
    tokenizer = AutoTokenizer.from_pretrained(tiny_resource)
    lengths = [
        len(ids) for ids in tokenizer([f"question: {t}" for t in texts], truncation=True, max_length=32)["input_ids"]
    ]
    assert (found.texts, found.tokens) == (len(texts), sum(lengths))
    assert found.squares == sum(length**2 for length in lengths)


@pytest.mark.slow
def test_a_sample_stands_for_all(tiny_resource, corpus_rows):
    texts = pl.Series([row["positive"] for row in corpus_rows] * 12)
    counter = TokenCounter(tiny_resource, 512)
    exact = sum(
        counter.count(part, "").tokens
        for part in (texts[start : start + SAMPLE] for start in range(0, len(texts), SAMPLE))
    )
    found = counter.count(texts, "")
    assert found.texts == len(texts) > SAMPLE
    assert found.tokens == pytest.approx(exact, rel=0.1)
    assert found.tokens != exact  # a sample it is
    assert found == counter.count(texts, "")
