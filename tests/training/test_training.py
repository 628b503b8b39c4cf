"""Training: the schedule, the optimizer, and runs that are cut short and started again."""

import json
import math
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from ascent.errors import AscentError
from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from ascent.model.backbone import load_backbone
from ascent.model.batching import pad
from ascent.model.embedding_model import EmbeddingModel
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.training.data import TrainingData
from ascent.training.engine import rate
from ascent.training.metrics import Trackers
from support.training_runs import BATCH, finished, interrupted, lines_of, newest, weights_of

ROOT = Path(__file__).parents[2]
NIGHTLY = pytest.mark.nightly
IN_MEMORY = {"device": "cpu", "pin_memory": False}
LORA = {"type": "lora", "rank": 4, "dropout": 0}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # 10 steps, of which 2 warm up: a third, two thirds, then eight steps from the highest rate.
        ("linear", [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("cosine", [1 / 3, 2 / 3, *((1 + math.cos(math.pi * i / 8)) / 2 for i in range(8))]),
        ("constant", [1 / 3, 2 / 3, *[1] * 8]),
    ],
)
def test_the_schedule(schedule, expected):
    assert [rate(step, 10, 0.2, schedule) for step in range(10)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 0.5, 1])
def test_no_step_is_taken_at_rate_zero(schedule, warmup):
    for steps in (1, 2, 7):
        rates = [rate(step, steps, warmup, schedule) for step in range(steps)]
        assert all(0 < value <= 1 for value in rates)


@pytest.fixture(scope="module")
def plain(start, tmp_path_factory) -> Path:
    """An epoch without any of the words that save memory."""
    folder = tmp_path_factory.mktemp("plain")
    return finished(start(folder, epochs=1, dropout=0), folder)


def test_an_interrupted_run_ends_with_the_bytes_of_the_undisturbed_one(run, tmp_path, monkeypatch):
    """Once by SIGTERM, as clusters announce the end, and once by SIGKILL; with dropout, schedule and gradient cache,
    with other numbers of loader workers, and with trackers, which hold what the metrics do."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = {"epochs": 6, "dropout": 0.1}
    whole = finished(run("whole", cold=True, **settings), tmp_path / "whole")  # its sets have other orders
    trackers = {"trackers": ["tensorboard", "wandb"]}
    settings["running"] = {"checkpoint_steps": 1, "loader_workers": 2} | trackers
    lines = lines_of(whole)
    assert [line["step"] for line in lines] == list(range(1, 34))
    assert lines[-1]["loss"] < lines[0]["loss"]

    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", **settings), folder, signal.SIGTERM, after=5) == 1
    assert "by SIGTERM; re-run to resume" in (folder / "log").read_text()
    reached = newest(folder)
    assert interrupted(run("disturbed", **settings), folder, signal.SIGKILL, after=reached + 5) == -signal.SIGKILL
    assert not (folder / "model").exists()
    assert not (folder / "metrics.jsonl").exists()
    # Cut short in the middle of a checkpoint: newer than the others, but without the marker that is written last.
    (folder / "checkpoints" / "step-00000032").mkdir()
    settings["running"] = {"loader_workers": 1} | trackers
    finished(run("disturbed", **settings), folder)
    assert (folder / "log").read_text().count("resuming from the checkpoint at step") == 2
    assert weights_of(folder) == weights_of(whole)
    same = ("step", "loss", "learning_rate", "gradient_norm")
    assert [[line[key] for key in same] for line in lines_of(folder)] == [[line[key] for key in same] for line in lines]
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"finished", "owner.lock"}
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    losses = {line["step"]: line["loss"] for line in lines}
    assert {event.step: event.value for event in events.Scalars("loss")} == pytest.approx(losses)
    assert list((folder / "wandb").glob("offline-run-*"))
    made = {"checkpoints", "deepspeed.json", "metrics.jsonl", "model", "tensorboard", "wandb"}
    assert {path.name for path in folder.iterdir()} == {*made, "log", "running.yaml", "stage.yaml"}


def test_ctrl_c_to_snakemake_s_whole_process_group_costs_no_step(run, tmp_path):
    """A terminal sends it to Snakemake, the job's shell, the training and its loader's workers, and Snakemake may pass
    it on."""
    folder, settings = tmp_path / "disturbed", {"epochs": 30, "running": {"loader_workers": 2}}
    (trap,) = set(re.findall(r"trap '' [A-Z0-9 ]+; ", (ROOT / "rules" / "training.smk").read_text()))
    process = run("disturbed", under=trap, cold=True, **settings)
    log, limit = folder / "log", time.monotonic() + 300
    while "step 17/165" not in log.read_text():  # a tenth is done
        assert process.poll() is None and time.monotonic() < limit, log.read_text()
        time.sleep(0.01)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 1, log.read_text()
    assert "by SIGINT; re-run to resume" in log.read_text()
    reached = newest(folder)
    assert reached >= 16
    process, limit = run("disturbed", **settings), time.monotonic() + 300
    while f"resuming from the checkpoint at step {reached} of " not in log.read_text():
        assert process.poll() is None and time.monotonic() < limit, log.read_text()
        time.sleep(0.1)
    process.kill()


@pytest.mark.nightly
@pytest.mark.parametrize("zero", [0, 2])
def test_a_killed_run_with_an_adapter_ends_with_the_bytes_of_the_undisturbed_one(run, tmp_path, zero):
    """With an adapter's own dropout; what is frozen is not in the checkpoints."""
    settings = {"epochs": 3, "adapter": {"type": "lora", "rank": 4, "dropout": 0.1}, "zero": zero}
    whole = finished(run("whole", **settings), tmp_path / "whole")
    settings["running"] = {"checkpoint_steps": 1}
    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", **settings), folder, signal.SIGKILL, after=5) == -signal.SIGKILL
    finished(run("disturbed", **settings), folder)
    assert "resuming from the checkpoint at step" in (folder / "log").read_text()
    assert weights_of(folder) == weights_of(whole)
    assert [line["loss"] for line in lines_of(folder)] == [line["loss"] for line in lines_of(whole)]


# A loss of 2.6 in bfloat16, which holds three digits, may be off in the second decimal.
@pytest.mark.parametrize(
    ("words", "told", "tolerance"),
    [
        ({"activation_checkpointing": True, "zero": 1}, {"stage": 1}, 1e-5),
        ({"weights": "bfloat16", "precision": "bfloat16", "zero": 1}, {"stage": 1}, 0.05),
        # DeepSpeed compiles its AdamW for what is offloaded, which takes two minutes.
        pytest.param(
            {"offload_optimizer": "cpu", "zero": 2}, {"stage": 2, "offload_optimizer": IN_MEMORY}, 1e-4, marks=NIGHTLY
        ),
        pytest.param(
            {"offload_optimizer": "cpu", "offload_weights": "cpu", "zero": 3},
            {"stage": 3, "offload_optimizer": IN_MEMORY, "offload_param": IN_MEMORY},
            1e-4,
            marks=NIGHTLY,
        ),
    ],
)
def test_words_that_save_memory_train_alike(run, plain, tmp_path, words, told, tolerance):
    folder = finished(run("saving", epochs=1, dropout=0, **words), tmp_path / "saving")
    expected = [line["loss"] for line in lines_of(plain)]
    assert expected[-1] < expected[0] - 0.1
    assert [line["loss"] for line in lines_of(folder)] == pytest.approx(expected, abs=tolerance)
    config = json.loads((folder / "deepspeed.json").read_text())
    assert config["zero_optimization"] == told
    assert config["bf16"] == {"enabled": words.get("weights") == "bfloat16"}
    found, wanted = (load_file(path / "model" / "model.safetensors") for path in (folder, plain))
    assert {str(tensor.dtype) for tensor in found.values()} == {"torch.float32"}
    assert largest_difference(found, wanted) < max(1e-3, tolerance)


def test_a_tracker_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("ascent.training.metrics.find_spec", lambda name: None)
    with pytest.raises(
        AscentError, match="running.trackers: 'wandb' is not installed; pip install wandb, or remove it"
    ):
        Trackers(["wandb"], run="r", title="t", settings={}, folder=tmp_path, start=0)


@pytest.mark.parametrize(
    ("zero", "before", "after", "adapter"),
    [
        pytest.param(0, 2, 1, None, marks=NIGHTLY),
        pytest.param(1, 2, 1, None, marks=NIGHTLY),
        pytest.param(2, 1, 2, None, marks=NIGHTLY),
        (3, 2, 1, None),
        pytest.param(0, 1, 2, LORA, marks=NIGHTLY),
        pytest.param(0, 2, 1, LORA, marks=NIGHTLY),
        (2, 1, 2, LORA),
        pytest.param(2, 2, 1, LORA, marks=NIGHTLY),
        pytest.param(3, 2, 1, LORA, marks=NIGHTLY),
    ],
)
def test_a_run_goes_on_with_another_number_of_processes(run, tmp_path, zero, before, after, adapter):
    settings = {"epochs": 3, "dropout": 0, "zero": zero, "weight_decay": 0.1, "adapter": adapter}
    settings["running"] = {"checkpoint_steps": 1}
    whole = finished(run("whole", processes=before, **settings), tmp_path / "whole")
    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", processes=before, **settings), folder, signal.SIGTERM, after=5) == 1
    reached = newest(folder)
    if adapter:  # what is frozen is not in the checkpoints
        states = torch.load(
            next((folder / "checkpoints").glob("step-*/*mp_rank_00_model_states.pt")), weights_only=False
        )
        assert states["module"]
        assert all("lora_" in name for name in states["module"])
    finished(run("disturbed", processes=after, **settings), folder)
    assert f"resuming from the checkpoint at step {reached} of 17" in (folder / "log").read_text()
    lines, expected = lines_of(folder), lines_of(whole)
    assert [line["learning_rate"] for line in lines] == [line["learning_rate"] for line in expected]
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in expected], abs=1e-5)
    found, wanted = (load_file(path / "model" / "model.safetensors") for path in (folder, whole))
    # See the last test for the bounds; an optimizer's state that was lost would err by whole steps, 1e-3.
    assert largest_difference(found, wanted) < 1e-4


@pytest.mark.nightly
def test_bfloat16_weights_go_on_with_another_number_of_processes(run, tmp_path):
    """At ZeRO 1, where DeepSpeed has another optimizer for them. Without its moments the first step would be longer."""
    settings = {"epochs": 3, "dropout": 0, "zero": 1, "weights": "bfloat16", "precision": "bfloat16"}
    settings["running"] = {"checkpoint_steps": 1}
    whole = finished(run("whole", processes=2, **settings), tmp_path / "whole")
    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", processes=2, **settings), folder, signal.SIGTERM, after=5) == 1
    reached = newest(folder)
    finished(run("disturbed", processes=1, **settings), folder)
    assert f"resuming from the checkpoint at step {reached} of 17" in (folder / "log").read_text()
    lines, expected = lines_of(folder), lines_of(whole)
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in expected], abs=0.05)
    found, wanted = (load_file(path / "model" / "model.safetensors") for path in (folder, whole))
    assert largest_difference(found, wanted) < 3e-3


def test_a_signal_to_one_process_stops_all_at_the_same_step(run, tmp_path):
    settings = {"epochs": 6, "dropout": 0.1}
    whole = finished(run("whole", processes=2, **settings), tmp_path / "whole")
    folder = tmp_path / "disturbed"
    launcher = run("disturbed", processes=2, cold=True, **settings)
    limit = time.monotonic() + 300
    while "step 4/33" not in (folder / "log").read_text():  # a tenth is done
        assert launcher.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.002)
    (second,) = [p for p in psutil.Process(launcher.pid).children(recursive=True) if p.environ().get("RANK") == "1"]
    second.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=60) == 1, (folder / "log").read_text()
    assert 3 <= newest(folder) < 33
    finished(run("disturbed", processes=2, **settings), folder)
    assert "resuming from the checkpoint at step" in (folder / "log").read_text()
    assert weights_of(folder) == weights_of(whole)


@pytest.mark.nightly
def test_killed_at_twenty_random_instants_a_run_sees_the_same_batches_and_ends_with_the_same_bytes(run, tmp_path):
    """While it starts, in the middle of a step or of a checkpoint; with other numbers of loader workers each time."""
    settings = {"epochs": 24, "dropout": 0.1}  # more steps than twenty tries get through
    whole = finished(run("whole", **settings), tmp_path / "whole")
    draw, folder, reached = random.Random(0), tmp_path / "disturbed", []
    for kill in range(20):
        process = run("disturbed", running={"checkpoint_steps": 1, "loader_workers": kill % 3}, cold=True, **settings)
        steps = draw.choice([0, 1, 2, 3])  # none: killed while it starts
        wanted, limit = newest(folder) + steps, time.monotonic() + 120
        while process.poll() is None and newest(folder) < wanted and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3 if steps else 8))
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL, (folder / "log").read_text()[-2000:]
        reached.append(newest(folder))
    print(f"killed after these steps: {reached}")
    assert reached[-1] > 10
    finished(run("disturbed", running={"loader_workers": 1}, **settings), folder)
    assert [line["batch"] for line in lines_of(folder)] == [line["batch"] for line in lines_of(whole)]
    assert weights_of(folder) == weights_of(whole)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("adapter", "saving"),
    [
        (None, {}),
        (LORA, {}),
        (LORA, {"activation_checkpointing": True, "offload_optimizer": "cpu", "zero": 2}),
        ({"type": "bitfit"}, {"activation_checkpointing": True, "offload_optimizer": "cpu", "zero": 2}),
    ],
)
def test_a_compiled_backbone_trains_as_an_eager_one(run, tmp_path, adapter, saving):
    eager = lines_of(finished(run("eager", dropout=0, adapter=adapter), tmp_path / "eager"))
    settings = {"dropout": 0, "compile": True, "adapter": adapter} | saving
    compiled = lines_of(finished(run("compiled", cold=True, **settings), tmp_path / "compiled"))
    assert [line["loss"] for line in compiled] == pytest.approx([line["loss"] for line in eager], rel=1e-4)


def by_plain_torch(
    data: TrainingData, contract: Contract, tiny_model: Path, stage: Contrastive
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The same training with nothing of the engine: autograd over the whole batch, torch's AdamW and clipping."""
    backbone, _ = load_backbone(tiny_model, contract, dropout=0.0)
    model = EmbeddingModel(backbone, contract)
    schedule = data.schedule()
    steps = len(schedule)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate)
    losses = []
    for step in range(steps):
        batch = data.batch(schedule[step], rank=0, world=1)
        rows = model.embed(**pad(batch.tokens, 0))
        embedded = Embedded(queries=rows[: batch.rows], documents=rows[batch.rows :], **batch.tensors())
        settings = stage.objective.infonce
        loss = infonce(embedded, temperature=settings.temperature, symmetric=settings.symmetric).mean()
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * rate(step, steps, stage.warmup, stage.schedule)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), stage.gradient_clipping)
        optimizer.step()
        losses.append(float(loss.detach()))
    # BERT's pooler takes no part in the embedding; torch leaves it alone, DeepSpeed decays it, and nobody sees it.
    return {name: p.detach() for name, p in backbone.named_parameters() if p.grad is not None}, losses


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() >= other.keys()
    return max(float((one[name] - tensor).abs().max()) for name, tensor in other.items())


def test_one_process_two_processes_and_plain_torch_come_to_the_same_weights(
    run, data_of, training_tokens, training_contract, tiny_model, tmp_path
):
    settings = {"objective": {"infonce": {"symmetric": True}}, "epochs": 1, "dropout": 0.0}
    settings |= {"weight_decay": 10, "gradient_clipping": 0.5}
    one = finished(run("one", **settings), tmp_path / "one")
    two = finished(run("two", processes=2, **settings), tmp_path / "two")
    stage = Contrastive(data=["questions"], batch_size=BATCH, learning_rate=1e-3, **settings)
    data = data_of({"questions": training_tokens}, **settings)
    expected, losses = by_plain_torch(data, training_contract, tiny_model, stage)

    start = load_file(tiny_model / "model.safetensors")
    found = {folder: load_file(folder / "model" / "model.safetensors") for folder in (one, two)}
    assert largest_difference(found[one], start) > 1e-3  # it has learned something
    # Adam divides by the gradient's size: where that is nearly zero, a single weight shows the rounding of the sum over
    # two processes (2e-5 was seen, a 50th of a step), so the bound of 1e-5 is on all but one weight in ten thousand.
    difference = torch.cat([(found[one][name] - found[two][name]).abs().flatten() for name in found[one]])
    assert float(difference.quantile(0.9999)) < 1e-5
    assert float(difference.max()) < 1e-4
    # The decay is so large that one of the wrong parameters would err by 1e-3, as would a clipping left out.
    error = largest_difference(found[one], expected)
    print(f"largest difference from plain torch: {error:.1e}")
    assert error < 1e-4
    for folder in (one, two):
        lines = lines_of(folder)
        assert [line["loss"] for line in lines] == pytest.approx(losses, abs=1e-5)
        rates = [1e-3 * rate(step, 6, stage.warmup, stage.schedule) for step in range(6)]
        assert [line["learning_rate"] for line in lines] == pytest.approx(rates)
        assert max(line["gradient_norm"] for line in lines) > 0.5  # clipping had something to do


@pytest.mark.parametrize("adapter", [pytest.param(None, marks=NIGHTLY), LORA])
def test_a_run_with_a_queue_goes_on_with_the_same_one(run, tmp_path, adapter):
    """With as many processes to the same bytes, with another number to the same losses; with a perturbation, too."""
    settings = {"epochs": 3, "dropout": 0, "queue": {"size": 20, "momentum": 0.9}, "adversarial": {"epsilon": 0.1}}
    settings |= {"adapter": adapter}
    settings["running"] = {"checkpoint_steps": 1}
    whole = finished(run("whole", processes=2, **settings), tmp_path / "whole")
    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", processes=2, **settings), folder, signal.SIGTERM, after=5) == 1
    for file in (folder / "checkpoints").glob("step-*/momentum.pt"):
        assert adapter is None or all("lora_" in name for name in torch.load(file, weights_only=True))
    shutil.copytree(folder, tmp_path / "alone")
    finished(run("disturbed", processes=2, **settings), folder)
    assert weights_of(folder) == weights_of(whole)
    alone = finished(run("alone", processes=1, **settings), tmp_path / "alone")
    expected = [line["loss"] for line in lines_of(whole)]
    assert [line["loss"] for line in lines_of(alone)] == pytest.approx(expected, abs=1e-4)
    assert (alone / "log").read_text().count("resuming from the checkpoint at step") == 1
