"""A data set or a model of a hub, at a pinned revision."""

import shutil
from pathlib import Path

from ..errors import AscentError
from ..settings.sources import Hub
from . import PICKLES


def fetch(source: Hub, folder: Path, kind: str, cache: Path) -> None:
    """Put the repository's files that match the source's patterns under `folder`. Pickles are left out."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if source.revision is None:
        look_up = f"huggingface_hub.{'dataset' if kind == 'corpora' else 'model'}_info('{source.id}').sha"
        raise AscentError(
            f"{source.id}: the catalogue pins no `revision`, since it could not be read where the entry was written;"
            " write there "
            f'what this command prints: python -c "import huggingface_hub; print({look_up})"'
        )
    where = f"{source.id}@{source.revision[:8]}"
    try:
        hub.snapshot_download(
            source.id,
            revision=source.revision,
            repo_type="dataset" if kind == "corpora" else "model",
            allow_patterns=source.files,
            ignore_patterns=list(PICKLES),
            local_dir=folder,
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AscentError(
            f"{where}: could not be retrieved ({type(error).__name__}: {reason}); check `id`, `revision` and the"
            " network."
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub library's own notes, with times in them
    if not any(path.is_file() for path in folder.rglob("*")):
        raise AscentError(f"{where}: no file matches {source.files} (pickles left out); check `files`.")
