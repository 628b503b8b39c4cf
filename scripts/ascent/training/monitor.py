"""What the GPUs of this node are doing, sampled while they train."""

import threading
from importlib.util import find_spec

import torch

SAMPLE_SECONDS = 1.0


class GpuMonitor:
    """Samples the GPUs that this process sees, by NVIDIA's management library. Without a GPU, or the library, it is silent."""

    def __init__(self):
        self._samples: list[tuple[float, float, float]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._handles = _handles()
        if self._handles:
            threading.Thread(target=self._watch, daemon=True).start()

    def read(self) -> dict[str, float]:
        """Return what was seen since the last call: utilisation (0 to 1, mean over GPUs and time), the highest memory of a
        GPU (bytes), and the power of all GPUs (watts, mean over time). Empty when nothing was seen."""
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
            utilisation = sum(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in self._handles) / (100 * count)
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
        # torch counts the GPUs that CUDA_VISIBLE_DEVICES leaves, the library all of them: the UUID is the same.
        uuids = [torch.cuda.get_device_properties(index).uuid for index in range(torch.cuda.device_count())]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
    except pynvml.NVMLError:
        return []
