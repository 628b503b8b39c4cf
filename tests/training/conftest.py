"""What the tests of training share."""

from pathlib import Path

import pytest

from ascent.settings.contrastive import Contrastive
from ascent.settings.stages import StageSettings
from support.training_runs import BATCH, Started


@pytest.fixture(scope="module")
def start(launch, training_tokens, training_contract, tiny_model):
    """Start a stage's training in a folder; return the process."""

    def _start(
        folder: Path, *, processes: int = 1, running: dict | None = None, cold=False, under="", **changes
    ) -> Started:
        stage = Contrastive(
            data=["questions"],
            batch_size=BATCH,
            learning_rate=1e-3,
            mini_batch_tokens=128,  # less than a batch holds: the gradient cache is at work
            **{"objective": "infonce", "precision": "float32"} | changes,
        )
        settings = StageSettings(
            recipe="r", name="s", stage=stage, contract=training_contract, tasks={"questions": "retrieval"}
        )
        given = {"parent": tiny_model, "tokens": training_tokens, "running": running}
        return launch(folder, settings, processes=processes, cold=cold, under=under, **given)

    return _start


@pytest.fixture
def run(start, tmp_path):
    """The same in a folder of this test."""
    return lambda name, **changes: start(tmp_path / name, **changes)
