"""Where corpora and models come from: one module per source, each with the function

    fetch(source, folder, kind, cache)    put the source's files under `folder`

`source` are its settings (settings/sources.py), `kind` is "corpora" or "models", `cache` is a folder for downloads that
several resources share.
"""

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..components import module_of
from ..errors import AscentError
from ..files import folder_atomically, sha256_file, write_json
from ..settings.sources import Source
from .gguf import unpack_gguf

# Loading these runs the code that they contain.
PICKLES = ("*.pkl", "*.pickle", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.joblib")


def retrieve(
    source: Source,
    folder: str | Path,
    kind: Literal["corpora", "models"],
    cache: str | Path,
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Fill `folder` with the source's files and provenance.json: the source and each file's SHA-256.

    A GGUF file of a model is replaced by its unpacked model; the source's digest pins the GGUF file. finish: what else
    is done to the files.
    """
    with folder_atomically(folder) as temporary:
        module_of(source).fetch(source, temporary, kind, Path(cache))
        packed = sorted(temporary.glob("*.gguf")) if kind == "models" else []
        if len(packed) > 1:
            raise AscentError(
                f"{folder}: the source gives {len(packed)} GGUF files; keep one by `members`, `files` or `paths`."
            )
        for file in packed:
            unpack_gguf(file, temporary)
            file.unlink()
        if finish:
            finish(temporary)
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
    """Whether loading a file of this name would unpickle it."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in PICKLES)
