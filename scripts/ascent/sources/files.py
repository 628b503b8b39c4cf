"""Files and folders of this machine, copied, so that a resource does not change under the steps that read it."""

import shutil
from pathlib import Path

from ..errors import AscentError, did_you_mean
from ..files import sha256_file
from ..settings.sources import Files


def fetch(source: Files, folder: Path, kind: str, cache: Path) -> None:
    """Copy the source's files, and the files in its folders, to `folder`; check the pinned digests."""
    for path in map(Path, source.paths):
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    _copy(file, folder / file.relative_to(path))
        elif path.is_file():
            _copy(path, folder / path.name)
        else:
            raise AscentError(f"{path}: no such file or folder; check `paths` (relative to the folder of the run).")
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    for name, pinned in source.sha256.items():
        if name not in names:
            raise AscentError(f"sha256: there is no file '{name}' in `paths`; {did_you_mean(name, names)}")
        digest = sha256_file(folder / name)
        if digest != pinned:
            raise AscentError(
                f"{name}: its SHA-256 is {digest}, but {pinned} is pinned; restore the file or pin this digest."
            )


def _copy(file: Path, target: Path) -> None:
    if target.exists():
        raise AscentError(f"{file}: another of `paths` also gives a file '{target.name}'; rename one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
