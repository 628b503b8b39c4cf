"""Embeddings of the whole batch on every process, with a gradient that knows it."""

from dataclasses import replace

import torch
import torch.distributed as dist

from ..objectives import Embedded


class _Gather(torch.autograd.Function):
    """Rows of every process, in the order of the ranks; the gradient comes back summed over the processes."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        ctx.start, ctx.size = sum(sizes[: dist.get_rank()]), len(rows)
        return _gather(rows, sizes)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.start : ctx.start + ctx.size], None


def _gather(rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    # Collectives want equal shapes, so short processes are padded to the longest and cut again.
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    pieces = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(pieces, padded)
    return torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])


def gather(local: Embedded) -> Embedded:
    """Return the whole batch's embeddings and ids: every process's queries and documents, in the order of the ranks.

    Differentiable. When each process then sums a loss over its own rows, the gradient that reaches `local` is that of
    the sum over all processes.
    """
    world = dist.get_world_size()
    if world == 1:
        return local
    device = local.queries.device
    shape = torch.tensor([len(local.queries), len(local.documents)], device=device)
    shapes = [torch.empty_like(shape) for _ in range(world)]
    dist.all_gather(shapes, shape)
    queries, documents = ([int(shape[i]) for shape in shapes] for i in (0, 1))
    starts = torch.tensor([sum(documents[:rank]) for rank in range(world)], device=device)
    offsets = starts.repeat_interleave(torch.tensor(queries, device=device))
    return replace(
        local,
        queries=_Gather.apply(local.queries, queries),
        documents=_Gather.apply(local.documents, documents),
        positives=_gather(local.positives, queries) + offsets,
        answers=_gather(local.answers, queries),
        document_ids=_gather(local.document_ids, documents),
    )


def largest(*values: int, device: torch.device) -> list[int]:
    """Return the largest of each value over all processes."""
    tensor = torch.tensor([int(value) for value in values], device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()
