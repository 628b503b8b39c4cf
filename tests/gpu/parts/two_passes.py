"""The gradient cache: one gradient in one pass and in many; dropout's masks alike in both, also checkpointed and
compiled."""

import torch

from rig import Rig, apart, gradient


def two_passes(rig: Rig) -> None:
    batch = rig.batch("toy-bert", 48, 1)
    found = []
    for tokens in (512, 10**6):
        engine, stage, objective = rig.engine("toy-bert", precision="float32", mini_batch_tokens=tokens)
        found.append(gradient(engine, batch, objective, stage))
    rig.tell("error of the cached gradient, float32", f"{(error := apart(*found)):.1e}", error < 1e-4)
    for more in ({}, {"activation_checkpointing": True}, {"compile": True}):
        if rig.tiny and "compile" in more:  # a minute of a compiler
            continue
        engine, *_ = rig.engine("toy-bert", dropout=0.1, mini_batch_tokens=512, **more)
        inputs = engine.module.inputs(batch.tokens[:20], 0, rig.device)
        torch.manual_seed(5)
        with torch.no_grad():
            (first,) = engine(**inputs)
        torch.manual_seed(5)
        (second,) = engine(**inputs)
        difference = float((first - second).detach().abs().max())
        torch.manual_seed(6)
        (other,) = engine(**inputs)
        drawn = float((second - other).detach().abs().max())
        what = f"dropout .1, {more or 'eager'}: largest difference without and with a graph; of another seed"
        rig.tell(what, f"{difference:.1e}; {drawn:.1e}", difference < 1e-3 < drawn)
