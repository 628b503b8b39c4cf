"""A process among others that are spawned to train in float64."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def float64_process(rank: int, world: int, store: str) -> Iterator[None]:
    """Join the `world` processes that meet by the file `store`, where DeepSpeed reduces float64, too, as it computes in
    it."""
    import deepspeed
    import torch
    import torch.distributed as dist
    from deepspeed.accelerator import get_accelerator

    from ascent.training.job.distributed import start_deepspeed

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    start_deepspeed()
    accelerator = get_accelerator()
    known = accelerator.supported_dtypes()
    accelerator.supported_dtypes = lambda: [*known, torch.float64]
    yield
    dist.barrier()
    # torch's, and what DeepSpeed holds of it, which would end in the wrong order
    deepspeed.comm.destroy_process_group()
