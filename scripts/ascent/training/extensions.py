"""DeepSpeed's compiled extensions: its AdamW on the CPU, its files for weights. Torch compiles one when it is first used."""

import time
from pathlib import Path

from torch.utils.cpp_extension import _get_build_directory

# A compiler is taken for dead when nothing has come or gone in its folder for so long. The longest file takes a minute or two.
DEAD_SECONDS = 600.0


def await_compilers() -> None:
    """Wait until no process compiles an extension, and remove the lock of one that was killed, for which torch would wait for
    ever."""
    for lock in Path(_get_build_directory("cpu_adam", verbose=False)).parent.glob("*/lock"):
        while lock.exists():
            if time.time() - lock.parent.stat().st_mtime > DEAD_SECONDS:
                print(f"{lock}: was left by a compiler that was killed, and is removed", flush=True)
                lock.unlink(missing_ok=True)
            else:
                time.sleep(0.5)
