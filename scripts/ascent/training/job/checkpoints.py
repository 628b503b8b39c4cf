"""Checkpoints of a running stage, and the results of a finished one: identified by fingerprint, ignored if
incomplete."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from ...errors import AscentError
from ...files import folder_atomically, read_json, write_json
from ...model.contract import weights_digest

KEPT = 2
# Writing takes at most one part in this many of the time, unless a checkpoint is due by steps.
SPARE = 30


def interval(minutes: float, seconds: float) -> float:
    """Return the seconds between checkpoints that a recipe wants every `minutes`, if the last one took `seconds`."""
    return max(60 * minutes, SPARE * seconds)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint after `step` steps, written by this number of processes."""

    tag: str
    step: int
    processes: int


class Checkpoints:
    """The checkpoints of one stage, in `folder`. `fingerprint` is a digest of everything that determines the result of
    training.

    A checkpoint is valid only if its marker file, written last, has the same fingerprint and all files that the marker
    lists exist with their sizes; so one that was interrupted, or that belongs to other settings or data, is ignored.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = folder
        self.fingerprint = fingerprint

    def newest(self) -> Checkpoint | None:
        """Return the newest valid checkpoint."""
        for marker in sorted(self.folder.glob("step-*.json"), reverse=True):
            content = read_json(marker)
            if content["fingerprint"] == self.fingerprint and content["files"] == _sizes(self.folder / marker.stem):
                return Checkpoint(
                    tag=marker.stem, step=int(marker.stem.removeprefix("step-")), processes=content["processes"]
                )
        return None

    def load(self, engine, checkpoint: Checkpoint, *, universal: bool) -> None:
        """Load a checkpoint into an engine. `universal`: the engine expects DeepSpeed's universal format, which any
        number of processes can load; the checkpoint is converted first.

        Raises AscentError if DeepSpeed cannot convert it.
        """
        if not universal:
            engine.load_checkpoint(str(self.folder), tag=checkpoint.tag, load_module_strict=False)
            return
        tag = f"{checkpoint.tag}-universal"
        if dist.get_rank() == 0:
            self._convert(checkpoint.tag, tag)
        dist.barrier()
        optimizer = engine.optimizer.optimizer
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        engine.load_checkpoint(str(self.folder), tag=tag, load_module_strict=False)
        # At stage 3, DeepSpeed (0.19) gives every group the first one's decay.
        for group, decay in zip(optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        place_steps(optimizer)

    def _convert(self, tag: str, target: str) -> None:
        shutil.rmtree(self.folder / target, ignore_errors=True)
        # States that a ZeRO stage does not have (ZeRO 1 keeps none of its own) are filled in.
        command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
        command += ["--input_folder", str(self.folder / tag), "--output_folder", str(self.folder / target)]
        environment = {
            name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise AscentError(
                f"{self.folder / tag}: DeepSpeed could not convert it for another number of processes "
                f"({(done.stderr.strip().splitlines() or ['no reason given'])[-1]}); use as many as wrote it."
            )

    def save(self, engine, step: int, more: Callable[[Path], None] = lambda _: None) -> None:
        """Write a checkpoint after `step` steps, and remove all older ones but one.

        more: writes what else a process keeps from step to step into the checkpoint's folder.
        """
        tag = f"step-{step:08d}"
        # Frozen weights are in the parent's folder, so they are neither written nor needed when loading.
        engine.save_checkpoint(str(self.folder), tag=tag, save_latest=False, exclude_frozen_parameters=True)
        more(self.folder / tag)
        dist.barrier()
        if os.environ.get("LOCAL_RANK", "0") == "0":
            for name in _sizes(self.folder / tag):  # what this machine wrote is on disk before the marker says so
                with (self.folder / tag / name).open("rb") as handle:
                    os.fsync(handle.fileno())
        dist.barrier()
        if dist.get_rank() == 0:
            files = _sizes(self.folder / tag)
            content = {"fingerprint": self.fingerprint, "processes": dist.get_world_size(), "files": files}
            write_json(self.folder / f"{tag}.json", content)
            self._prune([marker.stem for marker in sorted(self.folder.glob("step-*.json"))[-KEPT:]])
        dist.barrier()

    def finish(self, model: Path, *files: Path) -> None:
        """Keep the stage's results in place of its checkpoints, as links, which take no space.

        A main process that was killed does not know that the stage is finished, and runs it again.
        """
        with folder_atomically(self.folder / "finished") as temporary:
            for path in [*files, *(path for path in model.rglob("*") if path.is_file())]:
                target = temporary / path.relative_to(model.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(path, target)
            write_json(temporary / "finished.json", {"fingerprint": self.fingerprint})
        self._prune([])

    def restore(self, model: Path, *files: Path) -> bool:
        """Restore the stage's results if it finished earlier with this fingerprint; return whether it did."""
        finished = self.folder / "finished"
        marker = finished / "finished.json"
        if not marker.exists() or read_json(marker)["fingerprint"] != self.fingerprint:
            return False
        made = finished / model.name
        if weights_digest(made) != read_json(made / "ascent.json")["weights_digest"]:
            return False
        with folder_atomically(model) as temporary:
            shutil.copytree(made, temporary, copy_function=_link, dirs_exist_ok=True)
        for file in files:
            file.unlink(missing_ok=True)
            _link(finished / file.name, file)
        return True

    def _prune(self, kept: list[str]) -> None:
        for path in self.folder.glob("step-*"):
            if path.stem not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def place_steps(optimizer: torch.optim.Optimizer) -> None:
    """Give each weight's state its own step counter, beside the weight, where the fused AdamW expects it.

    DeepSpeed's universal form leaves counters on the CPU and, at stage 3, one that all weights share, which each of
    them would then advance."""
    for parameter, state in optimizer.state.items():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].to(parameter.device, copy=True)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # some parallel file systems link within one folder only
        shutil.copy2(source, target)


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
