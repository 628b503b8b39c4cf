"""Texts to padded batches of tokens."""

from collections.abc import Sequence

import numpy as np
import torch


def tokenise(tokenizer, texts: Sequence[str], prompt: str, max_tokens: int) -> list[np.ndarray]:
    """Return the token ids of `prompt + text`, truncated to `max_tokens`, special tokens included: int32 arrays.

    A text without tokens, from a tokenizer without special tokens, becomes one padding token, so that there is
    something to embed.
    """
    if not texts:
        return []
    encoded = tokenizer([prompt + text for text in texts], truncation=True, max_length=max_tokens)
    return [np.asarray(ids or [tokenizer.pad_token_id or 0], dtype=np.int32) for ids in encoded["input_ids"]]


def prompt_length(tokenizer, prompt: str, max_tokens: int) -> int:
    """Return how many tokens of `prompt + text` are the prompt's: as many as it has alone, except for a special token
    at its end.

    This is how sentence-transformers counts (Transformer._get_prompt_length), even if a tokenizer joins the prompt's
    end with the text's beginning. A special token at the beginning is counted.
    """
    if not prompt:
        return 0
    tokens = tokenizer(prompt, truncation=True, max_length=max_tokens)["input_ids"]
    return len(tokens) - (tokens[-1:] != [] and tokens[-1] in tokenizer.all_special_ids)


def by_length(lengths: Sequence[int], tokens: int) -> list[np.ndarray]:
    """Split rows, longest first, into mini-batches of at most `tokens` tokens after padding (at least one row each).

    Rows of similar length share a mini-batch, so there is little padding; the longest come first, so that too little
    memory fails at once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def pad(rows: Sequence[np.ndarray], pad_id: int, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Return input_ids and attention_mask, int64 of shape (rows, longest), padded on the right."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}
