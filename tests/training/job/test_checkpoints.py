"""Checkpoints: found again, complete or ignored, and no more of them than needed; and what a finished stage has
made."""

import shutil
from pathlib import Path

import pytest
import torch

from ascent.training.job import checkpoints
from ascent.training.job.checkpoints import Checkpoint, Checkpoints, interval, place_steps


class FakeEngine:
    """Writes a checkpoint as DeepSpeed does, a folder named by the tag, and remembers what was loaded."""

    loaded = None

    def save_checkpoint(self, folder, tag, save_latest, exclude_frozen_parameters=False):
        (Path(folder) / tag).mkdir(parents=True, exist_ok=True)
        (Path(folder) / tag / "state.pt").write_text(tag)

    def load_checkpoint(self, folder, tag, load_module_strict=True):
        self.loaded = (Path(folder) / tag / "state.pt").read_text()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr(checkpoints.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(checkpoints.dist, "barrier", lambda: None)


@pytest.fixture
def store(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", "mine")


def found(step: int, processes: int = 1) -> Checkpoint:
    return Checkpoint(tag=f"step-{step:08d}", step=step, processes=processes)


def test_the_newest_checkpoint_is_taken_and_old_ones_go(store):
    engine = FakeEngine()
    assert store.newest() is None
    for step in (5, 9, 10, 100):
        store.save(engine, step)
    left = sorted(path.name for path in store.folder.iterdir())
    assert left == ["step-00000010", "step-00000010.json", "step-00000100", "step-00000100.json"]
    assert store.newest() == found(100)
    store.load(engine, store.newest(), universal=False)
    assert engine.loaded == "step-00000100"


def test_a_checkpoint_that_does_not_count_is_ignored(store):
    engine = FakeEngine()
    store.save(engine, 5)
    engine.save_checkpoint(
        store.folder, tag="step-00000008", save_latest=False
    )  # cut short: its marker was never written
    assert store.newest() == found(5)
    assert Checkpoints(store.folder, "other settings").newest() is None


@pytest.mark.parametrize("damage", [lambda file: file.write_text("step"), Path.unlink])
def test_after_a_crash_of_the_machine_the_one_before_serves(store, damage):
    """The marker is there, but the file that it speaks of is shorter than it was, or lost."""
    engine = FakeEngine()
    store.save(engine, 5)
    store.save(engine, 6)
    assert store.newest() == found(6)
    damage(store.folder / "step-00000006" / "state.pt")
    assert store.newest() == found(5)


def test_a_checkpoint_tells_how_many_processes_wrote_it(store, monkeypatch):
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 4)
    store.save(FakeEngine(), 5)
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 2)
    assert store.newest() == found(5, processes=4)


def test_a_checkpoint_cut_short_is_written_again(store):
    (store.folder / "step-00000008").mkdir(parents=True)
    (store.folder / "step-00000008" / "state.pt").write_text("half")
    engine = FakeEngine()
    store.save(engine, 8)
    store.load(engine, store.newest(), universal=False)
    assert engine.loaded == "step-00000008"


def test_writing_takes_at_most_a_thirtieth_of_the_time():
    assert interval(10, 0) == interval(10, 20) == 600
    assert interval(10, 45) == 1350


def test_each_weight_s_step_counter_is_its_own_and_on_its_device():
    """As the fused AdamW wants it on a GPU; `meta` stands for another device."""
    weights = [torch.nn.Parameter(torch.zeros(2, device=device)) for device in ("meta", "meta", "cpu")]
    optimizer, shared = torch.optim.AdamW(weights), torch.tensor(7.0)
    for weight in weights:
        optimizer.state[weight] = {"step": shared, "exp_avg": torch.zeros_like(weight)}
    place_steps(optimizer)
    steps = [optimizer.state[weight]["step"] for weight in weights]
    assert [step.device.type for step in steps] == ["meta", "meta", "cpu"]
    assert len({id(step) for step in (*steps, shared)}) == 4
    steps[2].add_(1)
    assert float(shared) == 7


@pytest.fixture
def made(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    return tmp_path / "model", tmp_path / "metrics.jsonl"


def test_what_a_finished_stage_has_made_is_put_in_place_again(store, made):
    model, metrics = made
    before = {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    store.save(FakeEngine(), 5)
    store.finish(model, metrics)
    assert [path.name for path in store.folder.iterdir()] == ["finished"]
    shutil.rmtree(model)
    metrics.unlink()
    assert not Checkpoints(store.folder, "other settings").restore(model, metrics)
    assert not model.exists()
    assert store.restore(model, metrics)
    assert {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    assert metrics.read_text() == "{}\n"


def test_weights_that_were_changed_since_are_not_put_in_place(store, made):
    model, metrics = made
    store.finish(model, metrics)
    with (model / "model.safetensors").open("ab") as file:  # the same file by another name
        file.write(b"x")
    shutil.rmtree(model)
    assert not store.restore(model, metrics)
