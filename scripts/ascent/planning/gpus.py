"""GPUs by name, and the machine that a recipe is planned for."""

from dataclasses import dataclass

from ..errors import AscentError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU by its data sheet: dense peaks in FLOP/s (tensor cores in bfloat16; float32 without TF32), memory in
    bytes."""

    bfloat16: float
    float32: float
    memory: float


# From NVIDIA's data sheets: A100 (SXM), H100 (SXM5), H200 (SXM), HGX B200, L40S, A10G. Peaks that a sheet gives with
# sparsity are halved. Memory is nominal, in GB of 10^9 bytes.
GPUS = {
    "a100-40": Gpu(bfloat16=312e12, float32=19.5e12, memory=40e9),
    "a100-80": Gpu(bfloat16=312e12, float32=19.5e12, memory=80e9),
    "h100": Gpu(bfloat16=989e12, float32=67e12, memory=80e9),
    "h200": Gpu(bfloat16=989e12, float32=67e12, memory=141e9),
    "b200": Gpu(bfloat16=2250e12, float32=75e12, memory=180e9),
    "l40s": Gpu(bfloat16=362e12, float32=91.6e12, memory=48e9),
    "a10g": Gpu(bfloat16=70e12, float32=35e12, memory=24e9),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Nodes with GPUs of one kind. Raises AscentError for an unknown GPU and for impossible numbers."""

    name: str = "h100"
    gpus: int = 8
    """GPUs per node."""
    nodes: int = 1
    utilisation: float = 0.4
    """Share of the GPU's peak that the steps are assumed to reach."""

    def __post_init__(self):
        if self.name not in GPUS:
            raise AscentError(f"--gpu: unknown GPU '{self.name}'; {did_you_mean(self.name, list(GPUS))}")
        if self.gpus < 1 or self.nodes < 1:
            raise AscentError(
                f"--gpus {self.gpus} --nodes {self.nodes}: there is no GPU to plan for; set both to 1 or more."
            )
        if not 0 < self.utilisation <= 1:
            raise AscentError(f"--utilisation is {self.utilisation}; set it above 0 and at most 1.")

    @property
    def gpu(self) -> Gpu:
        """The kind of GPU."""
        return GPUS[self.name]

    @property
    def processes(self) -> int:
        """Processes of a training job, one per GPU."""
        return self.gpus * self.nodes

    def hours(self, flops: float, precision: str) -> float:
        """Return the GPU-hours for a number of FLOPs."""
        peak = self.gpu.float32 if precision == "float32" else self.gpu.bfloat16
        return flops / (peak * self.utilisation) / 3600


def amount(value: float, unit: str = "") -> str:
    """Return a number with three significant digits, and its unit with a prefix: `12.3 M`, `18.2 GB`, `4.1 PFLOP`."""
    prefixes = ["", "k", "M", "G", "T", "P", "E", "Z"]
    while value >= 999.5 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    return f"{value:.3g} {prefixes[0]}{unit}".rstrip()
