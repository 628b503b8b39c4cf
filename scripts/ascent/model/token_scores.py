"""Scores of texts by what a model gives for each of their tokens, beside the embedding (BGE-M3, Chen et al. 2024, arXiv
2402.03216, section 3.2).

Special tokens have no part in them, nor has a prompt that is not pooled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

# Tokens of queries times tokens of documents that are compared at a time: 64 MB of cosines in float32.
TILE = 2**24


@dataclass(frozen=True, kw_only=True)
class TokenOutputs:
    """Texts' tokens and what the heads beside the embedding give for them, one text behind the other.

    lengths: int64 (texts,), how many tokens each text has here. ids: int64 (tokens,). outputs: by head, (tokens, dimension).
    """

    lengths: torch.Tensor
    ids: torch.Tensor
    outputs: dict[str, torch.Tensor]

    def select(self, texts: torch.Tensor) -> "TokenOutputs":
        """Return those of some texts, a mask."""
        tokens = torch.repeat_interleave(texts, self.lengths)
        outputs = {name: output[tokens] for name, output in self.outputs.items()}
        return TokenOutputs(lengths=self.lengths[texts], ids=self.ids[tokens], outputs=outputs)


def lexical_scores(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return the sum, over the tokens that two texts share, of the products of their weights: (queries, documents). A token that
    a text repeats has there the largest of its weights."""
    vocabulary = torch.unique(documents.ids)  # of a tile, so that both matrices are bound by it

    def matrix(texts: TokenOutputs) -> torch.Tensor:
        shared = torch.isin(texts.ids, vocabulary)
        of_text = torch.repeat_interleave(torch.arange(len(texts.lengths), device=texts.ids.device), texts.lengths)
        places = of_text[shared] * len(vocabulary) + torch.searchsorted(vocabulary, texts.ids[shared])
        weights = texts.outputs["lexical"][shared, 0]
        none = weights.new_zeros(len(texts.lengths) * len(vocabulary))
        return none.scatter_reduce(0, places, weights, "amax").view(len(texts.lengths), len(vocabulary))

    return matrix(queries) @ matrix(documents).T if len(vocabulary) else _none(queries, documents)


def multi_vector_scores(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return the mean, over the query's tokens, of the cosine with the document's token that is most like it: (queries,
    documents). Texts without tokens score 0."""
    of_queries, of_documents = (
        torch.nn.functional.normalize(texts.outputs["multi_vector"], dim=-1) for texts in (queries, documents)
    )
    if not len(of_queries) or not len(of_documents):
        return _none(queries, documents)
    nearest = torch.segment_reduce(of_documents @ of_queries.T, "max", lengths=documents.lengths)
    nearest = nearest.masked_fill(documents.lengths[:, None] == 0, 0)
    sums = torch.segment_reduce(nearest.T.contiguous(), "sum", lengths=queries.lengths)
    return sums / queries.lengths.clamp(min=1)[:, None]


def _none(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    output = next(iter(queries.outputs.values()))
    return output.new_zeros(len(queries.lengths), len(documents.lengths))


# By head.
TOKEN_SCORES: dict[str, Callable[[TokenOutputs, TokenOutputs], torch.Tensor]] = {
    "lexical": lexical_scores,
    "multi_vector": multi_vector_scores,
}


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Texts' embeddings, (texts, dimension), and their tokens."""

    embeddings: torch.Tensor
    tokens: TokenOutputs

    @property
    def parts(self) -> list[torch.Tensor]:
        """All that a model gave: the embeddings, then the tokens' outputs."""
        return [self.embeddings, *self.tokens.outputs.values()]

    def like(self, parts: list[torch.Tensor]) -> "Encoded":
        """Return the same texts with other `parts`."""
        outputs = dict(zip(self.tokens.outputs, parts[1:], strict=True))
        return Encoded(embeddings=parts[0], tokens=replace(self.tokens, outputs=outputs))

    def tiles(self, queries: "Encoded") -> Iterator[tuple["Encoded", slice, slice]]:
        """Yield whole texts, as many as TILE allows beside `queries` but one at least, with the slices of their texts and tokens.
        Of no texts yields none of them, once."""
        lengths, room = self.tokens.lengths.tolist(), TILE // max(1, len(queries.tokens.ids))
        text = token = 0
        while True:
            stop, end = text, token
            while stop < len(lengths) and (stop == text or end + lengths[stop] - token <= room):
                end += lengths[stop]
                stop += 1
            texts, tokens = slice(text, stop), slice(token, end)
            outputs = {name: output[tokens] for name, output in self.tokens.outputs.items()}
            part = TokenOutputs(lengths=self.tokens.lengths[texts], ids=self.tokens.ids[tokens], outputs=outputs)
            yield Encoded(embeddings=self.embeddings[texts], tokens=part), texts, tokens
            text, token = stop, end
            if text == len(lengths):
                return


def scores_by_kind(queries: Encoded, documents: Encoded) -> torch.Tensor:
    """Return the scores of the embeddings, then those of each head: (kinds, queries, documents)."""
    of_tokens = [TOKEN_SCORES[name](queries.tokens, documents.tokens) for name in queries.tokens.outputs]
    return torch.stack([queries.embeddings @ documents.embeddings.T, *of_tokens])
