"""Write the pip part of envs/*.yaml, for conda, from the locks. Needs Python's standard library only."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors

MARK = "  - pip:\n"
LOCKS = {"ascent.yaml": ("ascent.txt", "torch.txt"), "gpu.yaml": ("gpu.txt",)}


def environment_text(folder: Path, name: str) -> str:
    """Return an environment file with a new pip part; what stands above it is written by hand and kept.

    The packages are listed, not read with `-r`: Snakemake copies the file elsewhere before conda reads it. conda gives
    the list to one run of pip, which wants a hash for every package or for none: where one lacks it, all are listed
    without."""
    head, mark, _ = (folder / name).read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise AscentError(f"{folder / name}: the line '{MARK.strip()}' is missing; put it where the packages begin.")
    entries: list[list[str]] = []
    for line in "".join((folder / lock).read_text(encoding="utf-8") for lock in LOCKS[name]).splitlines():
        if line.startswith(" "):
            entries[-1].append(line.removesuffix(" \\").strip())
        elif not line.startswith("#"):
            entries.append([line.removesuffix(" \\")])
    hashed = all(len(entry) > 1 for entry in entries)
    return (
        head
        + mark
        + "".join("      - " + "\n        ".join(entry if hashed else entry[:1]) + "\n" for entry in entries)
    )


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("envs"), help="folder of the locks and the environment files"
    )
    folder = parser.parse_args().folder
    for name in LOCKS:
        (folder / name).write_text(environment_text(folder, name), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
