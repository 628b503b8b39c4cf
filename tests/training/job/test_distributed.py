"""Locks of compilers: one that was killed is not waited for, one that lives is."""

import os
import threading
import time

import pytest

from ascent.training.job.distributed import DEAD_SECONDS, await_compilers


@pytest.mark.slow
def test_the_lock_of_a_killed_compiler_is_removed_and_a_living_one_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    dead, living = tmp_path / "cpu_adam" / "lock", tmp_path / "async_io" / "lock"
    for lock in (dead, living):
        lock.parent.mkdir()
        lock.touch()
    os.utime(dead.parent, times=(time.time() - DEAD_SECONDS - 1,) * 2)
    waiting = threading.Thread(target=await_compilers)
    waiting.start()
    waiting.join(timeout=2)
    assert waiting.is_alive() and living.exists()
    living.unlink()
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert not dead.exists()
    assert capsys.readouterr().out == f"{dead}: removed, since the compiler that held it was killed\n"
