"""Scores of texts by the outputs of token-level heads (BGE-M3, Chen et al. 2024, arXiv 2402.03216, section 3.2).

Special tokens take no part in them, nor does a prompt that is not pooled.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module

import torch

# Tokens of queries times tokens of documents that are compared at a time: 64 MB of cosines in float32.
TILE = 2**24


@dataclass(frozen=True, kw_only=True)
class TokenOutputs:
    """Texts' tokens and the outputs of token-level heads for them, text by text.

    lengths: int64 (texts,), how many tokens of each text are here. ids: int64 (tokens,). outputs: per head, (tokens,
    dimension).
    """

    lengths: torch.Tensor
    ids: torch.Tensor
    outputs: dict[str, torch.Tensor]

    def select(self, texts: torch.Tensor) -> "TokenOutputs":
        """Return those of some texts (a mask)."""
        tokens = torch.repeat_interleave(texts, self.lengths)
        outputs = {name: output[tokens] for name, output in self.outputs.items()}
        return TokenOutputs(lengths=self.lengths[texts], ids=self.ids[tokens], outputs=outputs)


def no_scores(queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return scores of 0: (queries, documents)."""
    output = next(iter(queries.outputs.values()))
    return output.new_zeros(len(queries.lengths), len(documents.lengths))


def scores_by_head(name: str, queries: TokenOutputs, documents: TokenOutputs) -> torch.Tensor:
    """Return the scores of a token-level head, (queries, documents): those of `score` in the head's module."""
    return import_module(f".heads.{name}", __package__).score(queries, documents)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Texts' embeddings, (texts, dimension), and their tokens."""

    embeddings: torch.Tensor
    tokens: TokenOutputs

    @property
    def parts(self) -> list[torch.Tensor]:
        """All outputs of the model: the embeddings, then those per token."""
        return [self.embeddings, *self.tokens.outputs.values()]

    def like(self, parts: list[torch.Tensor]) -> "Encoded":
        """Return the same texts with other `parts`."""
        outputs = dict(zip(self.tokens.outputs, parts[1:], strict=True))
        return Encoded(embeddings=parts[0], tokens=replace(self.tokens, outputs=outputs))

    def tiles(self, queries: "Encoded") -> Iterator[tuple["Encoded", slice, slice]]:
        """Yield whole texts, as many as TILE allows with `queries` but at least one, with the slices of their texts and
        tokens. Without texts, yield an empty tile once."""
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
    """Return the scores of the embeddings, then those of each token-level head: (kinds, queries, documents)."""
    per_token = [scores_by_head(name, queries.tokens, documents.tokens) for name in queries.tokens.outputs]
    return torch.stack([queries.embeddings @ documents.embeddings.T, *per_token])
