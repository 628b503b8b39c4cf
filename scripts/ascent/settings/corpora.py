"""Corpora and models: where each comes from, and how a corpus is read."""

from typing import Any

from pydantic import model_validator

from .base import Name, Settings, Share, as_written
from .languages import Language
from .licences import Licensed
from .readers import ChosenReader
from .sources import ChosenSource


class Reading(Settings):
    """How the rows of a retrieved corpus are read."""

    reader: ChosenReader
    """The reader, by `type`, and its settings."""
    language: Language
    """Language of the texts, an ISO 639-3 code with script: eng-Latn, zho-Hans."""
    html: bool = False
    """Whether the texts are HTML: then tags are removed and entities resolved, for training and evaluation alike."""
    max_rejected: Share = 0.1
    """Largest share of rows that may be set aside, of each split and of its documents; above it the run stops. Ten rows or
    fewer stop nothing, unless they are all."""

    @model_validator(mode="before")
    @classmethod
    def _options_are_the_reader_s(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        reader, options = given.get("reader", {}), given.get("options", {})
        if "options" in given or isinstance(reader, str):
            reader = {"type": reader} if isinstance(reader, str) else reader
            both = {part: values for each in (reader, options) if isinstance(each, dict) for part, values in each.items()}
            raise ValueError(f"a reader and its options are one map now; write reader: {as_written(both)}")
        return given


class Corpus(Reading, Licensed):
    """A raw corpus: where it comes from and how its rows are read."""

    source: ChosenSource
    """Where the files come from."""
    homepage: str = ""
    """Where the corpus is described, printed on the model card."""


class Model(Licensed):
    """A model that recipes may start from or score pairs with."""

    source: ChosenSource
    """Where the files come from: a folder that transformers can load, with safetensors weights, or one GGUF file."""
    adapter_of: Name | None = None
    """The model of the catalogue that this one is an adapter of, of peft: `adapter_config.json` and
    `adapter_model.safetensors`. It is merged into that model's weights when it is retrieved. Default: a whole model."""
    upstream: str = ""
    """The model's own id on a hub, printed on the model card as the base model."""
