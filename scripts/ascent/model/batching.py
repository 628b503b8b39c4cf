"""Texts as token ids: on their way to a device, and in mini-batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch.nn import functional

# Texts, or pairs, tokenised at a time: the library keeps more than a hundred bytes per token, also of what it cuts off,
# which for pairs is each piece of one text with each of the other. More at a time are no faster.
TOKENISED = 100


@dataclass(frozen=True, eq=False)
class Texts(Sequence):
    """Texts' token ids, one text after another in one tensor, which goes to another process or a GPU at once.

    ids: int32 (tokens,). counts: int64 (texts,), how many tokens each text has, of at least one. lengths: the same on
    the host, so that nothing waits for a GPU to know a size.
    """

    ids: torch.Tensor
    counts: torch.Tensor
    lengths: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> "Texts":
        """Return texts of arrays of token ids."""
        if isinstance(rows, Texts):
            return rows
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        return cls(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(lengths), lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index):
        return self._rows[index]

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        return np.split(self.ids.numpy(), np.cumsum(self.lengths[:-1]))

    def __reduce__(self):
        return Texts, (self.ids, self.counts, self.lengths)

    def pin_memory(self) -> Self:
        """Return the same in pinned memory, from which a GPU copies by itself."""
        return type(self)(self.ids.pin_memory(), self.counts.pin_memory(), self.lengths)

    def to(self, device: torch.device | str) -> Self:
        """Return the same on a device. From pinned memory the copy goes on while the caller does."""
        move = {"device": device, "non_blocking": True}
        return type(self)(self.ids.to(**move), self.counts.to(**move), self.lengths)

    def take(self, order: np.ndarray) -> Self:
        """Return texts by their numbers, on the same device."""
        lengths, chosen = self.lengths[order], torch.from_numpy(order).to(self.counts.device)
        counts, starts = self.counts[chosen], (self.counts.cumsum(0) - self.counts)[chosen]
        total = int(lengths.sum())
        moved = torch.repeat_interleave(starts - counts.cumsum(0) + counts, counts, output_size=total)
        return type(self)(self.ids[moved + torch.arange(total, device=moved.device)], counts, lengths)

    def split(self, sizes: Sequence[int]) -> list[Self]:
        """Return the first texts, the next ones and so on: `sizes` says how many; views of the same tensors."""
        ends = np.cumsum(sizes)
        lengths = np.split(self.lengths, ends[:-1])
        ids = self.ids.split([int(own.sum()) for own in lengths])
        counts = self.counts.split(list(sizes))
        return [type(self)(*parts) for parts in zip(ids, counts, lengths, strict=True)]


def tokenise(tokenizer, texts: Sequence[str], prompt: str, max_tokens: int) -> list[np.ndarray]:
    """Return the token ids of `prompt + text`, truncated to `max_tokens`, special tokens included: int32 arrays.

    A text without tokens, from a tokenizer without special tokens, becomes one padding token, so that there is
    something to embed.
    """
    rows = []
    for start in range(0, len(texts), TOKENISED):
        some = [prompt + text for text in texts[start : start + TOKENISED]]
        encoded = tokenizer(some, truncation=True, max_length=max_tokens, return_attention_mask=False)
        rows += [np.asarray(ids or [tokenizer.pad_token_id or 0], dtype=np.int32) for ids in encoded["input_ids"]]
    return rows


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


def by_length(lengths: Sequence[int], tokens: int, *, packed: bool = False) -> list[np.ndarray]:
    """Split rows, longest first, into mini-batches of at most `tokens` tokens (at least one row each), after padding
    unless they are packed.

    Rows of similar length share a mini-batch, so there is little padding; the longest come first, so that too little
    memory fails at once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    ends = np.cumsum(np.asarray(lengths)[order])
    batches, start = [], 0
    while start < len(order):
        before, longest = (ends[start - 1] if start else 0), max(1, int(lengths[order[start]]))
        rows = int(np.searchsorted(ends, before + tokens, side="right")) - start if packed else tokens // longest
        batches.append(order[start : start + max(1, rows)])
        start += max(1, rows)
    return batches


def pad(
    rows: Sequence[np.ndarray], pad_id: int, device: torch.device | str = "cpu", *, multiple: int = 1
) -> dict[str, torch.Tensor]:
    """Return input_ids and attention_mask, int64 of shape (rows, width), padded on the right to the longest row or the
    next multiple."""
    texts = Texts.of(rows).to(device)
    places = torch.arange(-(-int(texts.lengths.max()) // multiple) * multiple, device=texts.ids.device)
    real = places < texts.counts[:, None]
    starts = texts.counts.cumsum(0) - texts.counts
    ids = texts.ids[(starts[:, None] + places).clamp(max=len(texts.ids) - 1)]
    return {"input_ids": ids.long().masked_fill(~real, pad_id), "attention_mask": real.long()}


def pack(
    rows: Sequence[np.ndarray],
    device: torch.device | str = "cpu",
    first_position: int = 0,
    *,
    pad_id: int = 0,
    multiple: int = 1,
) -> dict[str, torch.Tensor | int]:
    """Return what a backbone with packed attention takes for `rows`, and `spare`.

    input_ids and position_ids: int64 of shape (1, tokens), positions from `first_position` in each row. cumulative:
    int32 of shape (rows + 1,), where each row begins and the last one ends. longest: the most tokens of a row.
    spare: how many tokens of padding follow, in a last row of their own, to make the tokens a multiple.
    """
    texts = Texts.of(rows).to(device)
    ids, counts, spare = texts.ids.long(), texts.counts, -len(texts.ids) % multiple
    if spare:
        ids, counts = functional.pad(ids, (0, spare), value=pad_id), functional.pad(counts, (0, 1), value=spare)
    cumulative = functional.pad(counts.cumsum(0), (1, 0))
    begins = torch.repeat_interleave(cumulative[:-1], counts, output_size=len(ids))
    return {
        "input_ids": ids[None],
        "position_ids": (torch.arange(len(ids), device=ids.device) - begins + first_position)[None],
        "cumulative": cumulative.int(),
        "longest": max(int(texts.lengths.max()), spare),
        "spare": spare,
    }
