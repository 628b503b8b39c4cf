"""Checkpoints: found again, complete or ignored, and no more of them than needed."""

from pathlib import Path

import pytest

from ascent.training import checkpoints
from ascent.training.checkpoints import Checkpoints


class FakeEngine:
    """Writes a checkpoint as DeepSpeed does, a folder named by the tag, and remembers what was loaded."""

    loaded = None

    def save_checkpoint(self, folder, tag, save_latest):
        (Path(folder) / tag).mkdir(parents=True)
        (Path(folder) / tag / "state.pt").write_text(tag)

    def load_checkpoint(self, folder, tag):
        self.loaded = (Path(folder) / tag / "state.pt").read_text()


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(checkpoints.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(checkpoints.dist, "barrier", lambda: None)


@pytest.mark.usefixtures("alone")
def test_the_newest_checkpoint_is_taken_and_old_ones_go(tmp_path):
    store, engine = Checkpoints(tmp_path / "checkpoints", "mine"), FakeEngine()
    assert store.resume(engine) == 0
    for step in (5, 9, 10, 100):
        store.save(engine, step)
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "step-00000010",
        "step-00000010.json",
        "step-00000100",
        "step-00000100.json",
    ]
    assert store.resume(engine) == 100
    assert engine.loaded == "step-00000100"
    store.clear()
    assert not store.folder.exists()


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_that_does_not_count_is_ignored(tmp_path, monkeypatch):
    engine = FakeEngine()
    mine = Checkpoints(tmp_path / "checkpoints", "mine")
    mine.save(engine, 5)
    engine.save_checkpoint(mine.folder, tag="step-00000008", save_latest=False)  # cut short: its marker was never written
    assert mine.resume(engine) == 5
    assert Checkpoints(mine.folder, "other settings").resume(engine) == 0
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 2)
    assert mine.resume(engine) == 0  # optimizer shards of one process are of no use to two


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_cut_short_is_written_again(tmp_path):
    engine, store = FakeEngine(), Checkpoints(tmp_path / "checkpoints", "mine")
    (store.folder / "step-00000008").mkdir(parents=True)
    (store.folder / "step-00000008" / "state.pt").write_text("half")
    engine.save_checkpoint = lambda folder, tag, save_latest: (Path(folder) / tag / "state.pt").write_text(tag)
    store.save(engine, 8)
    assert store.resume(engine) == 8
    assert engine.loaded == "step-00000008"
