"""Pre-training as a job: killed, resumed, with another number of processes, and the folder that it leaves."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from support.pretraining_cases import CONTRACT, settings_of


@pytest.fixture
def run(launch, tiny_model, training_pairs, tokens_of, tmp_path):
    """Start a stage's pre-training by the script; return the process."""
    tokens = tokens_of(
        training_pairs, contract=CONTRACT, stage=settings_of("mlm").stage
    )  # without the contract's prompts

    def _run(name: str, objective, *, processes: int = 1, parent=tiny_model, running: dict | None = None, **changes):
        changes = {"learning_rate": 1e-2, "batch_size": 9, "mini_batch_tokens": 128, "precision": "float32"} | changes
        settings = settings_of(objective, **changes)
        return launch(tmp_path / name, settings, parent=parent, tokens=tokens, running=running, processes=processes)

    return _run


def finished(process: subprocess.Popen, folder) -> list[dict]:
    """The metrics of a run that ended well."""
    assert process.wait(timeout=300) == 0, (folder / "log").read_text()
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def wait_for_step_3(process: subprocess.Popen, folder: Path) -> None:
    limit = time.monotonic() + 300
    while not (folder / "checkpoints" / "step-00000003.json").exists():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.002)


def check_folder(folder: Path, parent: Path, rows: list[dict[str, str]]) -> None:
    """A plain one with the parent's tensors and nothing of a head or decoder, that embeds in sentence-transformers as
    here, and otherwise than the parent."""
    start, end = (load_file(path / "model.safetensors") for path in (parent, folder))
    assert {name: tensor.shape for name, tensor in end.items()} == {
        name: tensor.shape for name, tensor in start.items()
    }
    plain, before = (SentenceTransformer(str(path), device="cpu") for path in (folder, parent))
    texts = [row["positive"] for row in rows[:5]]
    ours = Encoder(folder, precision="float32").encode(texts, side="document", task="retrieval")
    np.testing.assert_allclose(plain.encode_document(texts), ours, rtol=0, atol=1e-5)
    assert np.abs(plain.encode(texts) - before.encode(texts)).max() > 1e-2


def test_a_killed_run_ends_with_the_bytes_of_the_undisturbed_one(run, tiny_model, corpus_rows, tmp_path):
    """RetroMAE with dropout, which lowers both parts of its loss and leaves a plain folder."""
    settings = {"dropout": 0.1, "epochs": 2.5}
    lines = finished(run("whole", "retromae", **settings), tmp_path / "whole")
    folder = tmp_path / "killed"
    process = run("killed", "retromae", running={"checkpoint_steps": 1}, **settings)
    wait_for_step_3(process, folder)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    resumed = finished(run("killed", "retromae", running={"loader_workers": 1}, **settings), folder)
    assert "resuming from the checkpoint at step" in (folder / "log").read_text()
    same = ("step", "loss", "loss/encoder", "loss/decoder", "batch", "gradient_norm")
    assert [[line[key] for key in same] for line in resumed] == [[line[key] for key in same] for line in lines]
    weights = [path / "model" / "model.safetensors" for path in (tmp_path / "whole", folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    check_folder(folder / "model", tiny_model, corpus_rows)
    for part in ("loss/encoder", "loss/decoder"):
        assert lines[-1][part] < lines[0][part] - 0.3
    assert all(line["texts_per_second"] > 0 for line in lines)


@pytest.mark.nightly
@pytest.mark.parametrize("zero", [1, 3])
def test_a_run_goes_on_with_another_number_of_processes(run, zero, tmp_path):
    """The input embeddings are the head's, too; DeepSpeed's universal checkpoints hold them once."""
    settings = {"zero": zero, "epochs": 1, "weight_decay": 0.1, "learning_rate": 1e-3}
    lines = finished(run("whole", "retromae", processes=2, **settings), tmp_path / "whole")
    folder = tmp_path / "killed"
    process = run("killed", "retromae", processes=2, running={"checkpoint_steps": 1}, **settings)
    wait_for_step_3(process, folder)
    process.terminate()
    process.wait(timeout=120)
    resumed = finished(run("killed", "retromae", **settings), folder)
    assert "resuming from the checkpoint at step" in (folder / "log").read_text()
    for key in ("loss/encoder", "loss/decoder"):
        assert [line[key] for line in resumed] == pytest.approx([line[key] for line in lines], abs=1e-4)


@pytest.mark.parametrize("objective", ["mlm", {"type": "mntp", "mask": 0.4}])
def test_ten_steps_lower_the_loss_and_leave_a_plain_folder(
    objective, run, tiny_model, decoder_resource, corpus_rows, tmp_path
):
    parent = tiny_model
    if objective != "mlm":
        parent = tmp_path / "parent"
        parent.mkdir()
        save_new(decoder_resource, CONTRACT, {}, parent)
    lines = finished(run("stage", objective, parent=parent, epochs=2.3, processes=2, zero=1), tmp_path / "stage")
    assert len(lines) >= 10
    assert lines[9]["loss"] < lines[0]["loss"] - 0.3
    check_folder(tmp_path / "stage" / "model", parent, corpus_rows)
