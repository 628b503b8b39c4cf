"""Does training do on a GPU what it does on CPUs, and how fast? One GPU, about ten minutes.

    python tests/gpu/acceptance.py            all parts; what was found stands in a table at the end
    python tests/gpu/acceptance.py --tiny     toy shapes, on a CPU too, to try the script itself

A part that fails does not stop the next. The exit status is 1 if anything was not as it must be. With OUT in the
environment the table is also written to $OUT/acceptance.json. It needs torch with CUDA, transformers, deepspeed and
peft; the parts `speed` and `ratio` also torchao for FP8 and sentence-transformers."""

import argparse
import json
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts")]

# In the order of what they settle: correctness, then speed, which takes the time that is left.
PARTS = ("machine", "attention", "two_passes", "accumulation", "resume", "loss", "speed", "ratio")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tiny", action="store_true", help="toy shapes, to try the parts on a CPU")
    parser.add_argument("--seconds", type=float, default=560, help="no part begins after so long")
    arguments = parser.parse_args()

    from ascent.training.job.distributed import start_deepspeed, start_processes
    from rig import Rig, line_of, short

    rig = Rig(start_processes(), arguments.tiny, arguments.seconds)
    start_deepspeed()
    for rig.part in arguments.parts:
        began = time.monotonic()
        if rig.time_left() < 0:
            rig.tell("", "left out for want of time", False)
            continue
        try:
            getattr(import_module(f"parts.{rig.part}"), rig.part)(rig)
        except Exception as error:  # whatever it is, the next part is tried
            traceback.print_exc()
            rig.tell("", short(error), False)
        print(f"-- {rig.part}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n" + "\n".join(map(line_of, rig.findings)), flush=True)
    if "OUT" in os.environ:
        Path(os.environ["OUT"], "acceptance.json").write_text(json.dumps(rig.findings, indent=1))
    return int(any(finding["right"] is False for finding in rig.findings))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # engines of several ZeRO stages in one process do not end well together
