"""Gradient cache (Gao et al. 2021, arXiv 2101.06983): the loss is differentiated at the model's outputs, which are
detached, and its gradient sent back through the model one mini-batch at a time. training/engine.py says why that is
right."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist

from ..collectives import largest
from ..losses import Embedded, Objective
from ..model.embedding_model import EmbeddingModel
from ..model.token_scores import TokenOutputs
from ..settings.contrastive import Contrastive
from .adversarial import Perturbation
from .data import Batch
from .engine import forward_tokens, seed_pass
from .queue import Queue


def accumulate_gradient(
    engine,
    batch: Batch,
    objective: Objective,
    stage: Contrastive,
    step: int,
    pad_id: int,
    queue: Queue | None,
    perturbation: Perturbation | None = None,
    *,
    last: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradient of a batch's loss, under a perturbation, to the engine's. last: nothing more is added in this
    step.

    Returns the weighted losses of this process's rows, (rows,), and per data set the sum of squares of the loss's
    gradient at its rows' embeddings.
    """
    passes = MiniBatches(engine, batch, stage, step, pad_id, perturbation)
    outputs = passes.forward()
    cached = CachedOutputs(outputs, batch, passes.chunks, engine.module)
    embeddings, rows = cached.tensors[0], batch.to(engine.device)
    local = Embedded(
        **rows.tensors(),
        queries=embeddings[: batch.rows],
        documents=embeddings[batch.rows :],
        queued=queue.candidates(batch) if queue else None,
        step=step,
        **cached.per_token(),
    )
    losses = rows.weights * objective(local)
    loss = losses.sum() * (dist.get_world_size() / batch.global_rows)
    grad_outputs = torch.autograd.grad(loss, cached.tensors, allow_unused=True, materialize_grads=True)
    passes.backward(outputs, cached.per_mini_batch(grad_outputs), last=last)
    dataset_of_text = torch.cat([rows.dataset_index, rows.dataset_index[rows.row_of_document]])
    return losses.detach(), cached.squares(grad_outputs, dataset_of_text, len(stage.data))


class MiniBatches:
    """A batch's texts in mini-batches of similar length, embedded one at a time.

    chunks: the texts of each. cached: whether a mini-batch is embedded twice, because the graphs of all of them do not
    fit the budget.
    """

    def __init__(
        self, engine, batch: Batch, stage: Contrastive, step: int, pad_id: int, perturbation: Perturbation | None = None
    ):
        self._engine, self._stage, self._step = engine, stage, step
        self._pad_id, self._perturbation = pad_id, perturbation
        model, texts = engine.module, batch.tokens
        self.chunks = model.mini_batches(texts.lengths, forward_tokens(stage, engine.device))
        longest = sum(len(chunk) * texts.lengths[chunk[0]] for chunk in self.chunks)
        tokens, count = largest(
            texts.lengths.sum() if model.packed else longest, len(self.chunks), device=engine.device
        )
        self.cached = tokens > stage.token_budget
        # Every process makes the same number of passes, otherwise ZeRO's collectives would wait for ever: the extra
        # ones embed one row whose gradient is zero.
        self.chunks += [self.chunks[-1][:1]] * (count - len(self.chunks))
        # All texts go to the device at once, in the order of the mini-batches, which are then parts of these tensors:
        # with a copy for each, the GPU would run dry again and again.
        order, sizes = np.concatenate(self.chunks), [len(chunk) for chunk in self.chunks]
        self._texts = texts.to(engine.device).take(order).split(sizes)
        self._prompt_lengths: Sequence[torch.Tensor | tuple] = [()] * count
        if any(batch.prompt_lengths):
            self._prompt_lengths = torch.tensor(batch.prompt_lengths)[order].to(engine.device).split(sizes)

    def embed(self, index: int) -> tuple[torch.Tensor, ...]:
        """Embed one mini-batch, with the same dropout each time."""
        seed_pass(self._stage, self._step, index)
        engine = self._engine
        inputs = engine.module.inputs(self._texts[index], self._pad_id, engine.device, self._prompt_lengths[index])
        if self._perturbation:
            inputs["perturbation"] = self._perturbation.added(index, inputs)
        return engine(**inputs)

    def forward(self) -> list[torch.Tensor]:
        """Return the outputs of all mini-batches, one after the other; without a graph if they are cached."""
        with torch.set_grad_enabled(not self.cached):
            outputs = zip(*(self.embed(index) for index in range(len(self.chunks))), strict=True)
            return [torch.cat(parts) for parts in outputs]

    def backward(
        self, outputs: Sequence[torch.Tensor], gradients: list[tuple[torch.Tensor, ...]], *, last: bool
    ) -> None:
        """Send the gradients at the outputs back. gradients: per mini-batch. last: as for accumulate_gradient."""
        if not self.cached:
            gradients = [tuple(torch.cat(parts) for parts in zip(*gradients, strict=True))]
        for index, pieces in enumerate(gradients):
            self._engine.set_gradient_accumulation_boundary(last and index == len(gradients) - 1)
            again = self.embed(index) if self.cached else outputs
            self._engine.backward(sum((output * piece).sum() for output, piece in zip(again, pieces, strict=True)))


class CachedOutputs:
    """The model's outputs for a batch, in the batch's order and detached.

    tensors: the embeddings, (texts, dimension), the queries' first; then per token-level head its outputs for the
    tokens that count, (tokens, its dimension), text by text.
    """

    def __init__(
        self, outputs: Sequence[torch.Tensor], batch: Batch, chunks: Sequence[np.ndarray], model: EmbeddingModel
    ):
        """outputs: what `forward` returns, of all mini-batches. chunks: the texts of each mini-batch; of a text that
        occurs in several, the first one counts."""
        device = outputs[0].device
        lengths, order = batch.tokens.lengths, np.concatenate(chunks)
        _, first = np.unique(order, return_index=True)
        self._names, self._queries, self._outputs = model.per_token, batch.rows, outputs
        places, self._sizes = [first], [[len(chunk) for chunk in chunks]]
        if self._names:
            counted = model.counted(batch.tokens, batch.prompt_lengths)
            starts = np.cumsum(lengths[order]) - lengths[order]
            tokens = np.concatenate(
                [start + np.flatnonzero(mask) for start, mask in zip(starts[first], counted, strict=True)]
            )
            places += [tokens] * len(self._names)
            self._sizes += [[lengths[chunk].sum() for chunk in chunks]] * len(self._names)
            self._counts = torch.tensor([int(mask.sum()) for mask in counted], device=device)
            ids = np.concatenate([text[mask] for text, mask in zip(batch.tokens, counted, strict=True)])
            self._ids = torch.from_numpy(ids).long().to(device)
        self._places = [torch.from_numpy(place).to(device) for place in places]
        self.tensors = [
            part.detach()[place].requires_grad_() for part, place in zip(outputs, self._places, strict=True)
        ]

    def per_token(self) -> dict[str, TokenOutputs]:
        """Return the tokens of queries and documents by the names of Embedded's fields; empty for a model without such
        heads."""
        if not self._names:
            return {}
        texts, tokens = self._queries, int(self._counts[: self._queries].sum())
        parts = [(slice(texts), slice(tokens)), (slice(texts, None), slice(tokens, None))]
        return {
            side: TokenOutputs(
                lengths=self._counts[texts],
                ids=self._ids[tokens],
                outputs={name: tensor[tokens] for name, tensor in zip(self._names, self.tensors[1:], strict=True)},
            )
            for side, (texts, tokens) in zip(("query_tokens", "document_tokens"), parts, strict=True)
        }

    def per_mini_batch(self, grad_outputs: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        """Return, per mini-batch, the gradient at each of its outputs."""
        parts = []
        for output, places, sizes, gradient in zip(self._outputs, self._places, self._sizes, grad_outputs, strict=True):
            parts.append(torch.zeros_like(output).index_copy_(0, places, gradient).split([int(size) for size in sizes]))
        return list(zip(*parts, strict=True))

    def squares(
        self, grad_outputs: Sequence[torch.Tensor], dataset_of_text: torch.Tensor, datasets: int
    ) -> torch.Tensor:
        """Return the sum of squares of the gradient at each data set's texts, (datasets,). dataset_of_text: int64
        (texts,)."""
        sums = grad_outputs[0].new_zeros(datasets)
        for index, gradient in enumerate(grad_outputs):
            place = dataset_of_text if index == 0 else torch.repeat_interleave(dataset_of_text, self._counts)
            sums.index_add_(0, place, gradient.pow(2).sum(1))
        return sums
