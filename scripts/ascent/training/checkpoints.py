"""Checkpoints of a running stage: found again by fingerprint, complete or ignored."""

import shutil
from pathlib import Path

import torch.distributed as dist

from ..files import read_json, write_json

KEPT = 2


class Checkpoints:
    """The checkpoints of one stage, in `folder`. `fingerprint` is a digest of all that decides the outcome of training.

    A checkpoint counts only when its marker file, written last, carries the same fingerprint; so one that was cut short,
    or that belongs to other settings or data, is ignored.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = folder
        self.fingerprint = fingerprint

    def resume(self, engine) -> int:
        """Load the newest checkpoint that counts; return the step to go on with, 0 when there is none."""
        for marker in sorted(self.folder.glob("step-*.json"), reverse=True):
            if read_json(marker) == self._content():
                engine.load_checkpoint(str(self.folder), tag=marker.stem)
                return int(marker.stem.removeprefix("step-"))
        return 0

    def save(self, engine, step: int) -> None:
        """Write a checkpoint after which `step` comes next, and remove the older ones but one."""
        tag = f"step-{step:08d}"
        engine.save_checkpoint(str(self.folder), tag=tag, save_latest=False)
        if dist.get_rank() == 0:
            write_json(self.folder / f"{tag}.json", self._content())
            for marker in sorted(self.folder.glob("step-*.json"))[:-KEPT]:
                marker.unlink()
                shutil.rmtree(self.folder / marker.stem, ignore_errors=True)
        dist.barrier()

    def clear(self) -> None:
        """Remove all checkpoints: the stage is finished."""
        if dist.get_rank() == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _content(self) -> dict:
        return {"fingerprint": self.fingerprint, "processes": dist.get_world_size()}
