"""Peak memory of InfoNCE, forward and backward, by batch size: the tiled loss beside the dense one.

    python tests/benchmarks/loss_memory.py --rows 4096 8192 16384 32768 --curve docs/loss-memory.tsv

Each figure is taken in a process of its own: the highest resident memory less what the process held before the batch
was made (on a GPU: what torch's allocator held at most). `--tiles N` computes the first N tiles of each pass only, for
batches whose whole loss would take a CPU hours: everything that grows with the batch is there before the first tile,
and the tiles are alike."""

import argparse
import csv
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))


def dense(queries, documents, temperature: float):
    """sentence-transformers' way: one matrix of all scores, and cross-entropy."""
    import torch

    scores = queries @ documents.T / temperature
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(queries), device=queries.device), reduction="sum")


def measure(kind: str, rows: int, dimension: int, tiles: int | None) -> dict:
    """Take one figure, in this process."""
    import torch

    from ascent.losses import Embedded, infonce, ring

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = _resident()
    queries, documents = (
        torch.nn.functional.normalize(torch.randn(rows, dimension, device=device), dim=-1).requires_grad_()
        for _ in range(2)
    )
    ids = torch.arange(rows, device=device)
    began = time.perf_counter()
    if kind == "dense":
        loss = dense(queries, documents, 0.02)
    else:
        every = ring.tiles
        ring.tiles = lambda *sides: islice(every(*sides), tiles)
        batch = Embedded(
            queries=queries,
            documents=documents,
            row_of_document=ids,
            document_ids=ids,
            answers=ids[:, None],
            groups=torch.zeros_like(ids),
            labels=torch.zeros(rows, device=device),
            dataset_index=torch.zeros_like(ids),
            numbers=ids,
            weights=torch.ones(rows, device=device),
        )
        loss = infonce.infonce(batch, temperature=0.02, symmetric=False).sum()
    loss.backward()
    float(loss)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _highest() - before
    return {
        "loss": kind,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "rows": rows,
        "dimension": dimension,
        "tiles": "all" if tiles is None else tiles,
        "peak_mb": round(peak / 2**20),
        "seconds": round(time.perf_counter() - began, 2),
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _highest() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--losses", nargs="+", default=["dense", "tiled"])
    parser.add_argument("--tiles", type=int, help="tiles that are computed; all when absent")
    parser.add_argument("--curve", type=Path, help="table to write")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.rows[0], arguments.dimension, arguments.tiles)))
        return
    lines = []
    for rows in arguments.rows:
        for loss in arguments.losses:
            command = [
                sys.executable,
                __file__,
                "--one",
                loss,
                "--rows",
                str(rows),
                "--dimension",
                str(arguments.dimension),
            ]
            command += ["--tiles", str(arguments.tiles)] if arguments.tiles else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"])[-1]
                print(f"{loss:6} {rows:>9,} rows: did not fit ({reason[:80]})", flush=True)
                continue
            lines.append(json.loads(done.stdout))
            print(f"{loss:6} {rows:>9,} rows: {lines[-1]['peak_mb']:>7,} MB  {lines[-1]['seconds']:>8} s", flush=True)
    if arguments.curve:
        with arguments.curve.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, lines[0], delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


if __name__ == "__main__":
    main()
