"""Adversarial perturbation of the input embeddings: the fast gradient method (Miyato et al. 2017, arXiv 1605.07725, eq.
5 and 6).

With L(r) the batch's loss when each text's input embeddings x, the outputs of the backbone's token embedding, are x +
r, a step descends L(0) + L(r) for

    r = epsilon * g / ||g||,  g = dL/dx at r = 0, of one text at a time,

and r is held constant. (The paper first scales embeddings to variance 1 over the vocabulary; here they are not scaled.)

Why this equals the step of one process: each text is embedded by one process, where the gradient at its embedding is
complete (engine.py); so g is complete, up to the factors that scale the loss, and g / ||g|| has no scale. L(r) is then
a loss like L(0), with its own gradients at the embeddings."""

from typing import Any

import torch


class Perturbation:
    """What is added to the input embeddings of each mini-batch of one step: zeros, whose gradients are kept, then r.

    The gradients, later overwritten by r, take as much memory as the input embeddings of this process's share of the
    batch.
    """

    def __init__(self, backbone: torch.nn.Module, epsilon: float):
        self._width = backbone.get_input_embeddings().embedding_dim
        self._dtype = torch.promote_types(backbone.dtype, torch.float32)
        self._epsilon = epsilon
        self._added: dict[int, torch.Tensor] = {}
        self._starts: dict[int, torch.Tensor | None] = {}
        self._ascended = False

    def added(self, index: int, inputs: dict[str, Any]) -> torch.Tensor | None:
        """Return what is added to mini-batch `index` with these inputs: (rows, tokens, width). None stands for zeros
        whose gradient is not needed."""
        if not self._ascended and torch.is_grad_enabled():
            ids = inputs["input_ids"]
            zero = torch.zeros((), dtype=self._dtype, device=ids.device)
            self._added[index] = zero.expand(*ids.shape, self._width).requires_grad_()  # takes no memory
            self._starts[index] = inputs.get("cumulative")
        return self._added.get(index)

    def ascend(self) -> None:
        """Replace the zeros by r, after the backward passes of L(0)."""
        self._added = {
            index: steepest(zeros.grad, self._starts[index], self._epsilon) for index, zeros in self._added.items()
        }
        self._ascended = True


def steepest(gradient: torch.Tensor, cumulative: torch.Tensor | None, epsilon: float) -> torch.Tensor:
    """Return the texts' gradients (rows, tokens, width), each text's scaled to the length `epsilon`; zeros stay zeros.

    cumulative: where each text of a packed row begins and the last one ends; without it each row is one text, whose
    padding has no gradient. Overwrites `gradient`.
    """
    squares = torch.linalg.vector_norm(gradient, dim=2, dtype=torch.float64).pow(
        2
    )  # in float32 those of 1e-23 would vanish
    if cumulative is None:
        lengths = squares.sum(1, keepdim=True).sqrt()
    else:
        counts = cumulative.diff().long()
        lengths = torch.segment_reduce(squares[0], "sum", lengths=counts, unsafe=True).sqrt()
        lengths = torch.repeat_interleave(lengths, counts, output_size=squares.shape[1])[None]
    factor = torch.where(lengths > 0, epsilon / lengths, 0)
    return gradient.mul_(factor[..., None].to(gradient.dtype))
