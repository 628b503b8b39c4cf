"""A checkpoint is resumed, and by the form that another number of processes reads."""

import tempfile
from pathlib import Path

from ascent.training.job.checkpoints import Checkpoints
from ascent.training.stages.contrastive import train_step
from rig import Rig, short


def resume(rig: Rig) -> None:
    batch = rig.batch("toy-bert", 16, 1)
    for zero in (0, 2) if rig.tiny else (0, 2, 3):
        settings = {"zero": zero, "precision": "float32", "learning_rate": 1e-3}
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), "acceptance")
            engine, stage, objective = rig.engine("toy-bert", **settings)
            losses = [train_step(engine, batch, objective, stage, step, 0).loss for step in range(2)]
            checkpoints.save(engine, 2)
            losses += [train_step(engine, batch, objective, stage, step, 0).loss for step in range(2, 4)]
            # Without ZeRO every process has the whole state, which any number of them loads.
            for universal in (False, True) if zero else (False,):
                what = f"ZeRO {zero}{', universal' * universal}: loss two steps later"
                again, *_ = rig.engine("toy-bert", universal=universal, **settings)
                try:
                    checkpoints.load(again, checkpoints.newest(), universal=universal)
                    found = [train_step(again, batch, objective, stage, step, 0).loss for step in range(2, 4)][-1]
                except Exception as error:  # the other forms are tried, too
                    rig.tell(what, short(error), False)
                    continue
                error = abs(found - losses[-1]) / abs(losses[-1])
                rig.tell(what, f"{found:.6f}, expected {losses[-1]:.6f}", error < 1e-4 and losses[-1] != losses[1])
