"""Multi-vector output (BGE-M3, Chen et al. 2024, arXiv 2402.03216; ColBERT, arXiv 2004.12832): a linear layer per
token."""

import torch
from sentence_transformers.base.modules import Dense

from ..token_scores import TokenOutputs, no_scores


def multi_vector(width: int, *, dimension: int | None) -> Dense:
    return token_level_head(width, dimension or width, torch.nn.Identity(), "multi_vectors")


def token_level_head(width: int, dimension: int, activation: torch.nn.Module, name: str) -> Dense:
    """Return a layer that maps token states and keeps them, its output under a name of its own."""
    return Dense(
        width,
        dimension,
        activation_function=activation,
        init_weight=torch.nn.init.orthogonal_(torch.empty(dimension, width)),
        init_bias=torch.zeros(dimension),
        module_input_name="token_embeddings",
        module_output_name=name,
    )


def score(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return the mean, over the query's tokens, of the cosine with its most similar token of the document: (queries,
    documents). Texts without tokens score 0."""
    query_tokens, document_tokens = (
        torch.nn.functional.normalize(texts.outputs["multi_vector"], dim=-1) for texts in (queries, documents)
    )
    if not len(query_tokens) or not len(document_tokens):
        return no_scores(queries, documents)
    nearest = torch.segment_reduce(document_tokens @ query_tokens.T, "max", lengths=documents.lengths)
    nearest = nearest.masked_fill(documents.lengths[:, None] == 0, 0)
    sums = torch.segment_reduce(nearest.T.contiguous(), "sum", lengths=queries.lengths)
    return sums / queries.lengths.clamp(min=1)[:, None]
