"""Lexical weights (BGE-M3, Chen et al. 2024, arXiv 2402.03216, section 3.2): a linear layer to one number, and ReLU."""

import torch
from sentence_transformers.base.modules import Dense

from ..token_scores import TokenOutputs, no_scores
from .multi_vector import token_level_head


def lexical(width: int) -> Dense:
    return token_level_head(width, 1, torch.nn.ReLU(), "lexical_weights")


def score(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return the sum, over the tokens that two texts share, of the products of their weights: (queries, documents).

    A token that occurs several times in a text has the largest of its weights there.
    """
    vocabulary = torch.unique(documents.ids)  # of a tile, which bounds both matrices

    def matrix(texts: TokenOutputs) -> torch.Tensor:
        shared = torch.isin(texts.ids, vocabulary)
        rows = torch.repeat_interleave(torch.arange(len(texts.lengths), device=texts.ids.device), texts.lengths)
        places = rows[shared] * len(vocabulary) + torch.searchsorted(vocabulary, texts.ids[shared])
        weights = texts.outputs["lexical"][shared, 0]
        zeros = weights.new_zeros(len(texts.lengths) * len(vocabulary))
        return zeros.scatter_reduce(0, places, weights, "amax").view(len(texts.lengths), len(vocabulary))

    return matrix(queries) @ matrix(documents).T if len(vocabulary) else no_scores(queries, documents)
