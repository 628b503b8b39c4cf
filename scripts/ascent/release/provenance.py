"""The sources of the card's numbers, shipped with the release."""

import os
import shutil
from pathlib import Path
from typing import Any

from ..files import read_json, write_json


def ship_sources(sources: list[Path], folder: Path) -> dict[Path, str]:
    """Copy the sources of the card's numbers into the release; return their places in it.

    The audits' examples stay behind: they are texts of the data, which are not ours to pass on.
    """
    above = Path(os.path.commonpath([source.parent for source in sources]))
    places = {source: f"provenance/{source.relative_to(above).as_posix()}" for source in sources}
    for source, place in places.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".json":
            write_json(folder / place, _without_examples(read_json(source)))
        else:
            shutil.copyfile(source, folder / place)
    return places


def _without_examples(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_examples(part) for part in value]
    if isinstance(value, dict):
        return {key: _without_examples(part) for key, part in value.items() if key != "examples"}
    return value
