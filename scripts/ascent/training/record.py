"""What a run tells while it trains."""

import json
from pathlib import Path

from tqdm import tqdm

from ..files import write_atomically
from ..settings import Running, StageSettings
from .monitor import GpuMonitor
from .trackers import Trackers


class Record:
    """A run's metrics: to its file, to the terminal or the log, and to the trackers that the recipe names."""

    def __init__(self, settings: StageSettings, running: Running, path: Path, fingerprint: str, steps: int, start: int):
        self._path, self._partial = path, path.with_suffix(".partial")
        self._steps = steps
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
        self._bar = tqdm(total=steps, initial=start, unit="step", disable=None)

    def add(self, line: dict[str, float | str]) -> None:
        """Add a step's metrics."""
        line = line | self._monitor.read()
        self._lines.append(line)
        self._trackers.write(line)
        self._bar.update()
        self._bar.set_postfix(loss=f"{line['loss']:.3f}", refresh=False)
        if self._bar.disable and line["step"] % max(1, self._steps // 10) == 0:
            unit = "pairs" if "pairs_per_second" in line else "texts"
            speed = f"{line[f'{unit}_per_second']:.1f} {unit}/s"
            print(f"step {line['step']}/{self._steps}  loss {line['loss']:.3f}  {speed}", flush=True)

    def keep(self) -> None:
        """Write what there is, for a run that goes on from here."""
        self._write(self._partial)

    def close(self) -> None:
        """Write the metrics of the finished run."""
        self._bar.close()
        self._monitor.close()
        self._trackers.close()
        self._write(self._path)
        self._partial.unlink(missing_ok=True)

    def _kept(self) -> list[dict]:
        return [json.loads(line) for line in self._partial.read_text().splitlines()] if self._partial.exists() else []

    def _write(self, path: Path) -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self._lines))
