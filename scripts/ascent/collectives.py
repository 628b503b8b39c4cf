"""What processes tell each other."""

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.nn.functional import all_reduce

T = TypeVar("T")


def of_first(find: Callable[[], T]) -> T:
    """Return what the first process finds, on every process.

    What lies on a network file system may look older on one machine than on another for a minute, so one process looks.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return find()
    found = [find() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(found)
    return found[0]


def largest(*values: int, device: torch.device) -> list[int]:
    """Return the largest of each value over all processes."""
    tensor = torch.tensor([int(value) for value in values], device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()


def sizes_of_all(rows: torch.Tensor) -> list[int]:
    """Return how many rows each process holds. Without a process group there is one process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [len(rows)]
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return torch.cat(sizes).tolist()


def pass_on(tensors: list[torch.Tensor], sizes: list[int], hop: int) -> Callable[[], list[torch.Tensor]]:
    """Start to send blocks of rows to the next process and to receive those of the one before, round a ring; return a
    function that waits for them.

    Before hop 0 a process holds its own block, before hop h that of rank - h; `sizes` are the rows of each rank's own.
    After as many hops as there are processes, each block is at home again."""
    if len(sizes) == 1:
        return lambda: tensors
    rank, world = dist.get_rank(), len(sizes)
    coming = sizes[(rank - hop - 1) % world]
    received = [tensor.new_empty((coming, *tensor.shape[1:])) for tensor in tensors]
    operations = []
    for mine, theirs in zip(tensors, received, strict=True):
        if len(mine):
            operations.append(dist.P2POp(dist.isend, mine.contiguous(), (rank + 1) % world))
        if len(theirs):
            operations.append(dist.P2POp(dist.irecv, theirs, (rank - 1) % world))
    works = dist.batch_isend_irecv(operations) if operations else []

    def wait() -> list[torch.Tensor]:
        for work in works:
            work.wait()
        operations.clear()  # until now they kept what was sent alive
        return received

    return wait


def gather(rows: torch.Tensor) -> torch.Tensor:
    """Return the rows of every process, the first process's first. Its backward pass gives each process, at its own
    rows, the sum of what all processes say of them.

    Every process then holds everything: for scalars and other small rows. Large ones go round the ring (pass_on).
    """
    sizes = sizes_of_all(rows)
    if len(sizes) == 1:
        return rows
    before = sum(sizes[: dist.get_rank()])
    sides = (before, sum(sizes) - before - len(rows))
    return sum_of_all(
        torch.nn.functional.pad(rows, (*[0, 0] * (rows.dim() - 1), *sides))
    )  # zeros in the others' places


def sum_of_all(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum of every process's tensor, of one shape. Its backward pass gives each process the sum of what all
    say of it."""
    return all_reduce(tensor) if dist.is_initialized() and dist.get_world_size() > 1 else tensor
