"""InfoNCE in tiles: seconds and memory of a forward and a backward pass."""

import time

import torch

from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from rig import Rig


def loss(rig: Rig) -> None:
    rows, width = (2048, 32) if rig.tiny else (131_072, 1024)
    queries, documents = (
        torch.nn.functional.normalize(torch.randn(rows, width, device=rig.device), dim=1) for _ in range(2)
    )
    ids, zeros = torch.arange(rows, device=rig.device), torch.zeros(rows, dtype=torch.long, device=rig.device)
    batch = Embedded(
        queries=queries.requires_grad_(),
        documents=documents.requires_grad_(),
        row_of_document=ids,
        document_ids=ids,
        answers=ids[:, None],
        groups=zeros,
        labels=torch.zeros(rows, device=rig.device),
        dataset_index=zeros,
        numbers=ids,
        weights=torch.ones(rows, device=rig.device),
    )
    if rig.gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        rig.wait()
        began = time.perf_counter()
        infonce(batch, temperature=0.02, symmetric=False).mean().backward()
        rig.wait()
        seconds = time.perf_counter() - began
    flops = 4 * 2 * rows**2 * width  # the scores twice, and the gradients of both sides
    value = f"{seconds:.2f}; {flops / seconds / 1e12:.1f}; {rig.peak_gb():.1f}"
    rig.tell(f"{rows:,} rows of {width}: seconds; TFLOP/s; peak GB", value)
