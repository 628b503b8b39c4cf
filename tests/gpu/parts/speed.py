"""Tokens/s, share of the matmul peak, memory, waits for the GPU in a step, and how busy it is, of real shapes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from ascent.model.shape import step_flops
from ascent.training.stages.contrastive import train_step
from ascent.training.throughput import matmul_peak
from rig import Rig, short

EIGHT = {"weights": "bfloat16", "activation_checkpointing": True}
LORA = {"adapter": {"type": "lora", "rank": 16}}


@dataclass(frozen=True)
class Case:
    """A model, its dropout, a stage's settings, rows and negatives."""

    name: str
    dropout: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    rows: int = 384
    negatives: int = 3


CASES = (
    Case("bert-large"),
    Case("bert-large", dropout=0.1),
    Case("bert-large", settings={"mini_batch_tokens": 65536}),
    Case("bert-large", settings={"compile": True}),
    Case("qwen3-0.6b", rows=256),
    Case("qwen3-0.6b", settings={"compile": True}, rows=256),
    Case("qwen3-0.6b", settings={"precision": "float8", "compile": True}, rows=256),
    Case("qwen3-8b", settings=EIGHT | LORA | {"zero": 1}, rows=64),
    Case("qwen3-8b", settings=EIGHT | {"zero": 3}, rows=64),
)
TINY = (
    Case("toy-bert", dropout=0.1, rows=16, negatives=1),
    Case("toy-qwen3", settings=LORA | {"zero": 1}, rows=16, negatives=1),
)
# Of the whole time, what is kept for the part after this one.
KEPT = 0.25


def speed(rig: Rig) -> None:
    peak = matmul_peak(rig.device, torch.bfloat16)
    for case in TINY if rig.tiny else CASES:
        what = f"{case.name}, dropout {case.dropout:g}, {case.settings}"
        if rig.time_left() < KEPT * rig.seconds:
            rig.tell(what, "left out for want of time")
            continue
        try:
            rig.tell(f"{what}: {', '.join(measured := dict(measure(rig, case, peak)))}", ", ".join(measured.values()))
        except Exception as error:  # too little memory, a package that is missing: the others are measured
            rig.tell(what, short(error), False)


def measure(rig: Rig, case: Case, peak: float) -> Iterator[tuple[str, str]]:
    """Yield what was measured, by name. peak: FLOP/s."""
    if rig.gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    engine, stage, objective = rig.engine(case.name, dropout=case.dropout, **case.settings)
    batch = rig.batch(case.name, case.rows, case.negatives, mean=130, spread=60, longest=256)
    seconds = []
    for step in range(6 if stage.compile else 4):
        rig.wait()
        began = time.perf_counter()
        result = train_step(engine, batch, objective, stage, step, 0)
        rig.wait()
        seconds.append(time.perf_counter() - began)
    best = min(seconds)
    yield "tokens/s", f"{result.tokens / best:,.0f}"
    yield (
        "MFU",
        f"{step_flops(shape_of(engine.module.backbone), stage, result.tokens, result.squares) / best / peak:.2f}",
    )
    yield "peak GB", f"{rig.peak_gb():.1f}"
    if rig.gpu:
        yield from profiled(lambda: train_step(engine, batch, objective, stage, 9, 0), best)


def profiled(step, seconds: float) -> Iterator[tuple[str, str]]:
    """Yield how often a step waits for the GPU, and the share of `seconds` in which the GPU computes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        step()
    events = seen.key_averages()
    yield "waits", str(sum(event.count for event in events if "Synchronize" in event.key))
    yield "busy", f"{sum(event.self_device_time_total for event in events) / 1e6 / seconds:.2f}"


def shape_of(backbone: torch.nn.Module) -> SimpleNamespace:
    """Return what step_flops asks of a shape, of a backbone that was made from a configuration, without a folder."""
    config = backbone.config
    of_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # ZeRO 3 keeps a weight's shape elsewhere.
    named = ((name, getattr(weight, "ds_shape", weight.shape)) for name, weight in backbone.named_parameters())
    matrices = [
        shape.numel() for name, shape in named if ".layer" in f".{name}" and "lora_" not in name and len(shape) == 2
    ]
    queries = config.num_attention_heads * of_head
    return SimpleNamespace(matrices=sum(matrices), layers=config.num_hidden_layers, queries=queries)
