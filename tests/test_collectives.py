"""What processes tell each other: where to resume is what the first one sees, as the others' view may be older."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import torch.multiprocessing as multiprocessing

pytestmark = [pytest.mark.usefixtures("warm_spawn"), pytest.mark.slow]


def look(rank: int, store: str, folder: str) -> None:
    """In a process of its own, whose file system shows it `folder`/`rank`: the newest checkpoint that it takes."""
    import torch.distributed as dist

    from ascent.collectives import of_first
    from ascent.training.job.checkpoints import Checkpoints

    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    found = of_first(Checkpoints(Path(folder) / str(rank), "mine").newest)
    Path(folder, f"{rank}.json").write_text(json.dumps([found.tag, found.step, found.processes]))
    dist.barrier()
    dist.destroy_process_group()


def test_all_processes_resume_where_the_first_one_sees_the_newest_checkpoint(tmp_path):
    """On a network file system, whose attributes each machine caches for a while."""
    for rank, steps in ((0, (5, 9)), (1, (5,))):
        for step in steps:
            folder = tmp_path / str(rank) / f"step-{step:08d}"
            folder.mkdir(parents=True)
            marker = {"fingerprint": "mine", "processes": 2, "files": {}}
            folder.with_suffix(".json").write_text(json.dumps(marker))
    multiprocessing.start_processes(look, (str(tmp_path / "store"), str(tmp_path)), nprocs=2, start_method="spawn")
    seen = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert seen == [["step-00000009", 9, 2]] * 2
