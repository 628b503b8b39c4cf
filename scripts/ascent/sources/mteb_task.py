"""The data set of a task that mteb knows, from the hub, at the revision that mteb pins."""

from pathlib import Path

from ..errors import AscentError
from ..settings.sources import Hub, MtebTask
from . import hub


def fetch(source: MtebTask, folder: Path, kind: str, cache: Path) -> None:
    """Put the files of the task's data set under `folder`. Pickles are left out."""
    import mteb

    data = mteb.get_task(source.task).metadata.dataset
    if kind != "corpora":
        raise AscentError(f"{source.task}: is a data set, and no model; use another source.")
    hub.fetch(
        Hub.model_validate({"type": "hub", "id": data["path"], "revision": data["revision"]}), folder, kind, cache
    )
