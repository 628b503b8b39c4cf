"""What this machine has: torch, its device, the attention of packed rows, the peak of a matrix product."""

import torch

from ascent.model.packing import attention_in_words, is_packed
from ascent.training.throughput import matmul_peak
from rig import Rig

TOYS = ("toy-bert", "toy-modernbert", "toy-qwen3", "toy-mistral")


def machine(rig: Rig) -> None:
    rig.tell("torch, device", f"{torch.__version__}, {torch.cuda.get_device_name() if rig.gpu else 'CPU'}")
    for name in TOYS:
        backbone = rig.backbone(name)
        rig.tell(f"attention of {name}", attention_in_words(backbone, rig.device, torch.bfloat16), is_packed(backbone))
    rig.tell("bfloat16 matrix product, TFLOP/s", f"{matmul_peak(rig.device, torch.bfloat16) / 1e12:.1f}")
