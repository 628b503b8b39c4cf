"""Weights in bfloat16: the same mini-batch n times, its loss divided by n, has the gradient of one. 16 bits lose some
of it."""

import deepspeed
import torch

from ascent.settings.contrastive import Contrastive
from ascent.training.engine import deepspeed_config, start_engine
from rig import Rig

TIMES = 512


def accumulation(rig: Rig) -> None:
    for zero in (2,) if rig.tiny else (1, 2, 3):
        norms = []
        for times in (1, TIMES):
            torch.manual_seed(0)
            stage = Contrastive(objective="infonce", data=["rows"], zero=zero, weights="bfloat16", gradient_clipping=0)
            layer = torch.nn.Linear(256, 256).to(rig.device)
            engine = start_engine(layer, stage, 10, deepspeed_config(stage), rig.device)
            states = torch.randn(64, 256, device=rig.device).bfloat16()
            for index in range(times):
                engine.set_gradient_accumulation_boundary(index == times - 1)
                engine.backward((engine(states).float() ** 2).sum() / times)
            norms.append(float(deepspeed.utils.safe_get_full_grad(layer.weight).float().norm()))
        kept = norms[1] / norms[0]
        rig.tell(
            f"ZeRO {zero}: norm of {TIMES} mini-batches' gradient over that of one", f"{kept:.3f}", abs(kept - 1) < 0.01
        )
