"""The sum of many mini-batches' gradients, by the engine and the configuration that training starts."""

import pytest
import torch
import torch.multiprocessing as multiprocessing

from ascent.settings.contrastive import Contrastive
from support.float64_process import float64_process

pytestmark = pytest.mark.usefixtures("warm_spawn")
REPEATS = 512
STAGES = [{"zero": zero, "weights": "bfloat16" if zero else "float32"} for zero in range(4)]


def measure(rank: int, world: int, store: str, output: str) -> None:
    """In a process of its own: per stage the gradient's norm of one mini-batch in 512 parts, as a share of the
    whole's."""
    from ascent.training.engine import deepspeed_config, optimizer_step, start_engine

    with float64_process(rank, world, store):
        found = []
        for settings in STAGES:
            stage = Contrastive(objective="infonce", data=["pairs"], **settings)
            torch.manual_seed(0)
            model = torch.nn.Linear(48, 8)
            kind = getattr(torch, settings["weights"])
            inputs = torch.randn(16, 48, generator=torch.Generator().manual_seed(rank)).to(kind)
            engine = start_engine(model, stage, 1, deepspeed_config(stage), torch.device("cpu"))
            for index in range(REPEATS):
                engine.set_gradient_accumulation_boundary(index == REPEATS - 1)
                engine.backward(engine(inputs).float().sum() / REPEATS)
            found.append(optimizer_step(engine, stage))
            engine.destroy()
        if rank == 0:
            torch.save(found, output)


def test_a_mini_batch_in_512_parts_keeps_its_gradient(tmp_path):
    world, output = 2, str(tmp_path / "norms.pt")
    multiprocessing.start_processes(
        measure, (world, str(tmp_path / "store"), output), nprocs=world, start_method="spawn"
    )
    # The outputs' sum: each row of the weight's gradient is the inputs' sum, each number of the bias's their count.
    inputs = torch.stack([torch.randn(16, 48, generator=torch.Generator().manual_seed(rank)) for rank in range(world)])
    norm = float((8 * (inputs.sum(1).mean(0).square().sum() + 16**2)).sqrt())
    assert [found / norm for found in torch.load(output)] == pytest.approx([1] * len(STAGES), abs=0.01)
