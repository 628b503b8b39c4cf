"""Where corpora and models come from: the sources that they may name, and each one's settings."""

from typing import Annotated, Literal

from pydantic import Field

from .base import COMMIT, Component, Settings, one_of
from .mteb_tasks import TrainedTask


class Source(Component):
    """What every source has."""

    folder = "sources"


class Pypi(Source):
    """Files inside a package of the Python package index. The package is read as an archive, never installed."""

    type: Literal["pypi"]
    """The source."""
    name: str
    """The package's name."""
    version: str
    """The exact version."""
    sha256: str
    """SHA-256 of the archive (wheel or source archive). Any other archive is rejected."""
    members: list[str]
    """Glob patterns of the members to keep."""
    strip: str = ""
    """Leading folder to remove from the members' names."""


class Files(Source):
    """Files or folders of this machine: jsonl, csv, tsv or parquet, each optionally gz or zst; or a model folder."""

    type: Literal["files"]
    """The source."""
    paths: list[str]
    """Paths, relative to the folder of the run or absolute. A folder stands for all files in it."""
    sha256: dict[str, str] = {}
    """Pinned SHA-256 by file name. A file named here is rejected if its digest differs."""


class Hub(Source):
    """A data set or a model of a hub, at a pinned revision."""

    type: Literal["hub"]
    """The source."""
    id: str
    """The repository's id, `organisation/name`."""
    revision: Annotated[str, Field(pattern=COMMIT)] | None = None
    """The commit, 40 hex digits. (A branch's name would move.) Nothing is retrieved without it: the run stops, and its
    message says by which command to look it up."""
    files: list[str] = ["*"]
    """Glob patterns of the files to keep."""


class MtebTask(Source):
    """The data set of a task that mteb knows, from the hub, at the revision that mteb pins. `reader: {type: mteb}`
    reads it."""

    type: Literal["mteb_task"]
    """The source."""
    task: TrainedTask
    """The task's name in mteb."""


ChosenSource = one_of(Source)


class Resource(Settings):
    """The settings file of a corpus or a model: what is retrieved."""

    source: ChosenSource
    """Where the files come from."""
