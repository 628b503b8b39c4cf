"""Where corpora and models come from: one module for each type of source, all with the same function:

    fetch(source, folder, kind, cache)    put the source's files under `folder`

`kind` is "corpora" or "models"; `cache` is a folder for downloads that several resources share.
"""

import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Literal

from ..errors import AscentError
from ..files import folder_atomically, sha256_file, write_json
from ..settings.base import Settings
from ..settings.corpora import Source
from .gguf import unpack_gguf

# Loading these runs code that they contain.
PICKLES = ("*.pkl", "*.pickle", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.joblib")


class Resource(Settings):
    """What retrieving needs of a corpus or a model."""

    source: Source
    """Where the files come from."""


def retrieve(source: Source, folder: str | Path, kind: Literal["corpora", "models"], cache: str | Path) -> None:
    """Make `folder` hold the source's files, and provenance.json with the source and each file's SHA-256.

    A model in a GGUF file is unpacked: the folder holds what it becomes, and the source's digest pins what it was.
    """
    with folder_atomically(folder) as temporary:
        import_module(f".{source.type}", __name__).fetch(source, temporary, kind, Path(cache))
        packed = sorted(temporary.glob("*.gguf")) if kind == "models" else []
        if len(packed) > 1:
            raise AscentError(f"{folder}: the source gives {len(packed)} GGUF files; keep one, by `members`, `files` or `paths`.")
        for file in packed:
            unpack_gguf(file, temporary)
            file.unlink()
        paths = sorted(path for path in temporary.rglob("*") if path.is_file())
        files = {
            path.relative_to(temporary).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
            }
            for path in paths
        }
        if not files:
            raise AscentError(f"{folder}: the source gave no files; check its settings.")
        write_json(temporary / "provenance.json", {"source": source.model_dump(mode="json"), "files": files})


def is_pickle(name: str) -> bool:
    """Whether a file of this name would be unpickled when it is loaded."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in PICKLES)
