"""Metrics to TensorBoard and Weights & Biases, for recipes that ask for it."""

from importlib.util import find_spec
from pathlib import Path

from ..errors import AscentError


class Trackers:
    """Writes each step's metrics to the trackers that a recipe names; to none by default.

    `run` names the run the same when it is started again, so that a tracker goes on with it. `start` is the step to go on
    with: what a tracker has seen after it is overwritten. Raises AscentError when a tracker's package is not installed.
    """

    def __init__(self, names: list[str], *, run: str, title: str, settings: dict, folder: Path, start: int):
        for name in names:
            if find_spec(name) is None:
                raise AscentError(f"running.trackers: '{name}' is not installed; pip install {name}, or leave it out.")
        self._board = self._wandb = None
        if "tensorboard" in names:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder), purge_step=start + 1)
        if "wandb" in names:
            import wandb

            self._wandb = wandb.init(
                project="ascent", name=title, id=run, resume="allow", config=settings, dir=str(folder.parent)
            )

    def write(self, line: dict) -> None:
        """Write the metrics of step `line["step"]`."""
        step = line["step"]
        values = {name: value for name, value in line.items() if name != "step" and isinstance(value, int | float)}
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._wandb:
            self._wandb.log(values, step=step)

    def close(self) -> None:
        """Write what is still held back."""
        if self._board:
            self._board.close()
        if self._wandb:
            self._wandb.finish()
