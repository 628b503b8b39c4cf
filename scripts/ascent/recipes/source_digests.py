"""The digests of the local files that sources name: these decide whether a source has changed, not the files' times.

Snakemake compares the checksums of input files, too, but only of those below --max-checksum-file-size (1 MB): of a
larger file the time alone decides, and a higher limit would read every large input of every step again, on the machine
that plans. Here each file is read once, and again only when its size or the time of its last change of any kind is
another.

Nothing here imports torch or uses a network: every cluster job parses the workflow again.
"""

from pathlib import Path

from .. import layout
from ..files import read_json, sha256_file, write_json
from .recipes import Recipes


def update_digests(recipes: Recipes) -> None:
    """Write the digests of the local files of each source that recipes use: one file per resource, left alone while
    they hold.

    A file that is missing is left out; Snakemake names it.
    """
    path = Path(layout.KNOWN_DIGESTS)
    before = read_json(path) if path.exists() else {}
    known = {}
    for kind, name in recipes.local_sources:
        digests = {}
        for file in recipes.source_files(kind, name):
            if Path(file).is_file():
                known[file] = _digest(file, before.get(file))
                digests[file] = known[file]["sha256"]
        _write_changed(Path(layout.SOURCE_DIGESTS.format(kind=kind, name=name)), digests)
    _write_changed(path, before | known)


def _digest(file: str, before: dict | None) -> dict:
    status = Path(file).stat()
    state = {"bytes": status.st_size, "changed_ns": status.st_ctime_ns}
    if before and {key: before[key] for key in state} == state:
        return before
    return state | {"sha256": sha256_file(file)}


def _write_changed(path: Path, value: dict) -> None:
    if not path.exists() or read_json(path) != value:
        write_json(path, value, shared=True)  # a dry run beside a run
