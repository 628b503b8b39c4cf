"""Write the pip part of envs/*.yaml, for conda, from the locks. Needs the standard library only."""

import argparse
from pathlib import Path

MARK = "  - pip:\n"
LOCKS = {"ascent.yaml": ("ascent.txt", "torch.txt"), "gpu.yaml": ("gpu.txt",)}


def environment_text(folder: Path, name: str) -> str:
    """The environment file with its pip part made anew; what stands above is written by hand and kept.

    The packages are listed, not read with `-r`: Snakemake copies the file elsewhere before conda reads it. conda installs the
    list in one run of pip, which takes a hash for every package or for none, so that one without a hash costs the others theirs.
    """
    head, mark, _ = (folder / name).read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"error: {folder / name}: the line '{MARK.strip()}' is missing; put it where the packages begin.")
    lines = [line for lock in LOCKS[name] for line in (folder / lock).read_text(encoding="utf-8").splitlines()]
    lines = [line.removesuffix(" \\") for line in lines if not line.startswith("#")]
    requirements = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    if any(index + 1 in {*requirements, len(lines)} for index in requirements):
        lines = [lines[index] for index in requirements]
    return head + mark + "".join(f"      {'  ' if line.startswith(' ') else '- '}{line.strip()}\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("envs"), help="folder of the locks and the environment files")
    folder = parser.parse_args().folder
    for name in LOCKS:
        (folder / name).write_text(environment_text(folder, name), encoding="utf-8")


if __name__ == "__main__":
    main()
