"""Soft tokens: new tokens of a base's vocabulary, without a meaning until an adapter trains their embeddings."""

import torch

from ..settings.adapters import SOFT_TOKEN

# Lester et al. 2021 (arXiv 2104.08691, section 3.1) initialise with embeddings of common words; vocabularies list these
# first.
COMMON = 5000


def add_soft_tokens(backbone: torch.nn.Module, tokenizer, number: int) -> None:
    """Add `<soft0>`, `<soft1>`, ... to a tokenizer, and their rows to its backbone's embeddings: copies of common
    words' rows, spread evenly over the first 5,000, so that the same base always starts the same."""
    from tokenizers import AddedToken

    words = [row for row in range(min(COMMON, len(tokenizer))) if row not in tokenizer.all_special_ids]
    tokenizer.add_tokens([AddedToken(SOFT_TOKEN.format(index), normalized=False) for index in range(number)])
    ids = soft_token_ids(tokenizer)
    old = backbone.get_input_embeddings().weight.detach().clone()
    if len(tokenizer) > len(old):  # some have spare rows
        backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        table = backbone.get_input_embeddings().weight
        table[ids] = old[[words[len(words) * (index + 1) // (number + 1)] for index in range(number)]]


def soft_token_ids(tokenizer) -> list[int]:
    """Return the ids of a tokenizer's soft tokens, in their order."""
    vocabulary, ids = tokenizer.get_added_vocab(), []
    while (token := SOFT_TOKEN.format(len(ids))) in vocabulary:
        ids.append(vocabulary[token])
    return ids
