"""What a run reports while it trains: metrics file, progress, GPU usage, trackers."""

import json
import threading
from importlib.util import find_spec
from pathlib import Path

import torch

from ..errors import AscentError
from ..files import write_atomically
from ..progress import Progress
from ..settings.stages import StageSettings
from ..settings.training import Running


class Record:
    """A run's metrics: written to its file, the terminal or log, and the trackers that the recipe names."""

    def __init__(self, settings: StageSettings, running: Running, path: Path, fingerprint: str, steps: int, start: int):
        self._path, self._partial = path, path.with_suffix(".partial")
        self._lines = [line for line in self._kept() if line["step"] <= start] if start else []
        self._monitor = GpuMonitor()
        self._trackers = Trackers(
            running.trackers,
            run=fingerprint[:16],
            title=f"{settings.recipe}/{settings.name}",
            settings=settings.model_dump(mode="json", by_alias=True),
            folder=path.parent / "tensorboard",
            start=start,
        )
        self._progress = Progress(settings.name, steps, "step", start=start)

    def add(self, line: dict[str, float | str]) -> None:
        """Add a step's metrics."""
        line = line | self._monitor.read()
        self._lines.append(line)
        self._trackers.write(line)
        unit = "pairs" if "pairs_per_second" in line else "texts"
        speed = f"{line[f'{unit}_per_second']:.1f} {unit}/s"
        self._progress.advance(note=f"loss {line['loss']:.3f}  {speed}")

    def keep(self) -> None:
        """Write the metrics so far, for a run that resumes from here."""
        self._write(self._partial)

    def close(self) -> None:
        """Write the metrics of the finished run."""
        self._progress.close()
        self._monitor.close()
        self._trackers.close()
        self._write(self._path)
        self._partial.unlink(missing_ok=True)

    def _kept(self) -> list[dict]:
        return [json.loads(line) for line in self._partial.read_text().splitlines()] if self._partial.exists() else []

    def _write(self, path: Path) -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self._lines))


SAMPLE_SECONDS = 1.0


class GpuMonitor:
    """Samples the GPUs that this process sees, by NVIDIA's management library. Without a GPU, or the library, it does
    nothing."""

    def __init__(self):
        self._samples: list[tuple[float, float, float]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._handles = _handles()
        if self._handles:
            threading.Thread(target=self._watch, daemon=True).start()

    def read(self) -> dict[str, float]:
        """Return what was measured since the last call: utilisation (0 to 1, mean over GPUs and time), the highest
        memory of a GPU (bytes), and the power of all GPUs (watts, mean over time). Empty if nothing was measured."""
        with self._lock:
            samples, self._samples = self._samples, []
        if not samples:
            return {}
        utilisation, memory, power = zip(*samples, strict=True)
        return {
            "gpu_utilisation": sum(utilisation) / len(samples),
            "gpu_memory": max(memory),
            "gpu_power": sum(power) / len(samples),
        }

    def close(self) -> None:
        """Stop sampling."""
        self._over.set()

    def _watch(self) -> None:
        import pynvml

        count = len(self._handles)
        while not self._over.wait(SAMPLE_SECONDS):
            utilisation = sum(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in self._handles) / (
                100 * count
            )
            memory = max(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in self._handles)
            power = sum(pynvml.nvmlDeviceGetPowerUsage(handle) for handle in self._handles) / 1000
            with self._lock:
                self._samples.append((utilisation, float(memory), power))


def _handles() -> list:
    if not torch.cuda.is_available() or find_spec("pynvml") is None:
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
        # torch counts only the GPUs in CUDA_VISIBLE_DEVICES, the library counts all: the UUID is the same.
        uuids = [torch.cuda.get_device_properties(index).uuid for index in range(torch.cuda.device_count())]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
    except pynvml.NVMLError:
        return []


class Trackers:
    """Writes each step's metrics to the trackers that a recipe names. Default: none.

    `run` names the run the same when it is started again, so that a tracker continues it. `start` is the step to resume
    from: what a tracker has seen after it is overwritten. Raises AscentError when a tracker's package is not
    installed.
    """

    def __init__(self, names: list[str], *, run: str, title: str, settings: dict, folder: Path, start: int):
        for name in names:
            if find_spec(name) is None:
                raise AscentError(f"running.trackers: '{name}' is not installed; pip install {name}, or remove it.")
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
        """Write what is still buffered."""
        if self._board:
            self._board.close()
        if self._wandb:
            self._wandb.finish()
