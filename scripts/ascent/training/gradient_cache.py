"""Where the engine splits the chain: what a model gives for a batch's texts, as leaves of the loss's graph."""

from collections.abc import Sequence

import numpy as np
import torch

from ..model.embedding_model import EmbeddingModel
from ..model.token_scores import TokenOutputs
from .data import Batch


class Leaves:
    """What the mini-batches gave, in the batch's order and without a graph behind it, and what belongs to it.

    tensors: the embeddings, (texts, dimension), the queries' first; then what each head beside them gives for the tokens that
    count, (tokens, its dimension), text by text.
    """

    def __init__(self, given: Sequence[torch.Tensor], batch: Batch, chunks: Sequence[np.ndarray], model: EmbeddingModel):
        """`given`: what `forward` returns, of all mini-batches. `chunks`: the texts of each mini-batch; of texts that stand in
        several, the first counts."""
        device = given[0].device
        lengths, order = np.array([len(text) for text in batch.tokens]), np.concatenate(chunks)
        _, first = np.unique(order, return_index=True)
        self._names, self._queries, self._given = model.beside, batch.rows, given
        places, self._sizes = [first], [[len(chunk) for chunk in chunks]]
        if self._names:
            counted = model.counted(batch.tokens, batch.prompt_lengths)
            starts = np.cumsum(lengths[order]) - lengths[order]
            tokens = np.concatenate([start + np.flatnonzero(of) for start, of in zip(starts[first], counted, strict=True)])
            places += [tokens] * len(self._names)
            self._sizes += [[lengths[chunk].sum() for chunk in chunks]] * len(self._names)
            self._counts = torch.tensor([int(of.sum()) for of in counted], device=device)
            ids = np.concatenate([text[of] for text, of in zip(batch.tokens, counted, strict=True)])
            self._ids = torch.from_numpy(ids).long().to(device)
        self._places = [torch.from_numpy(at).to(device) for at in places]
        self.tensors = [part.detach()[at].requires_grad_() for part, at in zip(given, self._places, strict=True)]

    def tokens(self) -> dict[str, TokenOutputs]:
        """Return the tokens of queries and documents by the names of Embedded's fields; empty for a model without such heads."""
        if not self._names:
            return {}
        texts, tokens = self._queries, int(self._counts[: self._queries].sum())
        parts = [(slice(texts), slice(tokens)), (slice(texts, None), slice(tokens, None))]
        return {
            side: TokenOutputs(
                lengths=self._counts[texts],
                ids=self._ids[tokens],
                outputs={name: leaf[tokens] for name, leaf in zip(self._names, self.tensors[1:], strict=True)},
            )
            for side, (texts, tokens) in zip(("query_tokens", "document_tokens"), parts, strict=True)
        }

    def gradients(self, at_leaves: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        """Return, for each mini-batch, the gradient at each tensor that it gave."""
        parts = []
        for given, places, sizes, at in zip(self._given, self._places, self._sizes, at_leaves, strict=True):
            parts.append(torch.zeros_like(given).index_copy_(0, places, at).split([int(size) for size in sizes]))
        return list(zip(*parts, strict=True))

    def squares(self, at_leaves: Sequence[torch.Tensor], source_of: torch.Tensor, sources: int) -> torch.Tensor:
        """Return the sum of squares of the gradient at each source's texts, (sources,); `source_of`: int64 (texts,)."""
        found = at_leaves[0].new_zeros(sources)
        for index, at in enumerate(at_leaves):
            of = source_of if index == 0 else torch.repeat_interleave(source_of, self._counts)
            found.index_add_(0, of, at.pow(2).sum(1))
        return found
