"""Corpora and models: where each comes from, and how a corpus is read."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from .base import Count, Name, Settings, Share, as_written
from .extractors import AnyExtractor
from .languages import Language
from .licences import Licensed
from .model import Contract
from .readers import ChosenReader, Mteb
from .sources import ChosenSource
from .synthesis import Synthesis


class Passages(Settings):
    """How documents are cut into passages, at the ends of sentences."""

    tokens: Count | None = None
    """Longest passage, in tokens of the tokenizer, without special ones."""
    characters: Count | None = None
    """Longest passage in characters, in place of `tokens`."""
    overlap: Annotated[int, Field(ge=0)] = 0
    """So much of a passage's end, at most, begins the next one: whole sentences, in the same unit."""
    model: Name | None = None
    """The model of the catalogue whose tokenizer counts tokens, such as the recipe's base."""
    tokenizer: str | None = None
    """Its file in place of a model: a tokenizer.json of this machine."""

    @model_validator(mode="after")
    def _one_unit(self):
        if (self.tokens is None) == (self.characters is None):
            raise ValueError("passages are measured in tokens or in characters; give one of the two")
        if bool(self.tokens) != ((self.model is None) != (self.tokenizer is None)):
            raise ValueError(
                "tokens are those of a tokenizer, and characters need none; give tokens with a model or a tokenizer"
            )
        if self.overlap >= self.longest:
            raise ValueError(f"overlap {self.overlap} is a whole passage of {self.longest}; choose less")
        return self

    @property
    def longest(self) -> int:
        """The length of the longest passage, in its unit."""
        return self.tokens or self.characters


class Reading(Settings):
    """How the rows of a retrieved corpus are read."""

    reader: ChosenReader
    """The reader, by `type`, and its settings."""
    language: Language
    """Language of the texts, an ISO 639-3 code with script: eng-Latn, zho-Hans."""
    html: bool = False
    """Whether the texts are HTML: then tags are removed and entities resolved, for training and evaluation alike."""
    passages: Passages | None = None
    """How documents are cut into passages. Default: they stay whole."""
    extract: list[AnyExtractor] = []
    """Extractors, in order, which make pairs of documents, or of other rows in their place. An item is an extractor's
    name, or a map from its name to its settings. Default: the rows stay as they were read."""
    max_rejected: Share = 0.1
    """Largest share of rows that may be set aside, of each split and of its documents; above it the run stops. Ten rows
    or fewer stop nothing, unless they are all."""

    def makes(self, split: str) -> list[str]:
        """The task types of the rows that its extractors make of a split."""
        made = [
            each.settings.task
            for each in self.extract
            if split in each.settings.splits and hasattr(each.settings, "task")
        ]
        return list(dict.fromkeys(made))

    def gives_negatives(self, split: str) -> bool:
        """Whether rows of a split may have negatives: the reader's, or those that extractors add."""
        adding = [each for each in self.extract if split in each.settings.splits and each.settings.adds_negatives]
        return bool(adding) or self.reader.gives_negatives()

    @model_validator(mode="after")
    def _passages_are_there(self):
        for each in self.extract:
            if each.settings.needs_passages and not self.passages:
                raise ValueError(
                    f"extract: {each.settings.component()} takes passages; say how to cut them, such as passages: "
                    "{characters: 1000}"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _options_are_the_reader_s(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        reader, options = given.get("reader", {}), given.get("options", {})
        if "options" in given or isinstance(reader, str):
            reader = {"type": reader} if isinstance(reader, str) else reader
            both = {
                part: values for each in (reader, options) if isinstance(each, dict) for part, values in each.items()
            }
            raise ValueError(f"a reader and its options are one map now; write reader: {as_written(both)}")
        return given


class Size(Settings):
    """About how large a corpus is. The plan reads it while the corpus is not retrieved."""

    rows: Count
    """Rows of the training split."""
    query_tokens: Count = 16
    """Tokens of a query, in the mean; about four characters are one."""
    positive_tokens: Count = 128
    """Tokens of a positive, and of a negative."""
    negatives: Annotated[int, Field(ge=0)] = 0
    """Negatives of a row."""


class Corpus(Reading, Licensed):
    """A raw corpus: where it comes from and how its rows are read."""

    source: Annotated[ChosenSource | Synthesis, Field(discriminator="type")]
    """Where the files come from; or what is asked of a language model that writes the rows."""
    homepage: str = ""
    """Where the corpus is described, printed on the model card."""
    size: Size | None = None
    """About how large it is."""
    parts: Count = 1
    """In how many parts its files are read, and its rows filtered and scored, each by a job of its own. At most as many
    as it has files, or with relevance judgements queries."""
    mteb_tasks: list[str] = []
    """mteb's tasks of the same data set. A model that learns from it is not zero-shot on them; the plan and the model
    card name them."""

    @model_validator(mode="after")
    def _rows_that_belong_together_are_in_one_part(self):
        names = [each.settings.component() for each in self.extract if each.settings.needs_others]
        if names and self.parts > 1:
            raise ValueError(
                f"extract: {names[0]} makes pairs of rows from anywhere in the corpus, which is read in {self.parts}"
                " parts; remove `parts`"
            )
        return self

    @model_validator(mode="after")
    def _its_own_task_is_named(self):
        if isinstance(self.reader, Mteb) and self.reader.task not in self.mteb_tasks:
            raise ValueError(f"its rows are those of mteb's {self.reader.task}, which `mteb_tasks` lacks: add it there")
        return self

    @property
    def planned_size(self) -> Size | None:
        """How large it is, as far as the catalogue says."""
        return self.size or (Size(rows=self.source.rows) if isinstance(self.source, Synthesis) else None)


class BackboneShape(Settings):
    """A backbone's shape, as its config.json says. The plan reads it while the model is not retrieved."""

    architecture: str
    """The `model_type` of transformers."""
    layers: Count
    """Number of layers."""
    width: Count
    """Dimension of the states."""
    heads: Count
    """Attention heads of a layer."""
    key_heads: Count | None = None
    """Heads of keys and values. Default: as many as `heads`."""
    head_dimension: Count | None = None
    """Dimension of a head. Default: width / heads."""
    inner: Count
    """Dimension inside the feed-forward part."""
    vocabulary: Count
    """Rows of the table of embeddings."""


class Model(Licensed):
    """A model that recipes may start from or score pairs with."""

    source: ChosenSource
    """Where the files come from: a folder that transformers can load, with safetensors weights, or one GGUF file."""
    adapter_of: Name | None = None
    """The model of the catalogue that this one is an adapter of, of peft: `adapter_config.json` and
    `adapter_model.safetensors`. It is merged into that model's weights when it is retrieved. Default: a whole model."""
    contract: Contract | None = None
    """How the model is used, if it is an embedding model already: what `contract: own` in a recipe stands for. `python
    scripts/print_contract.py FOLDER` prints what its folder says."""
    shape: BackboneShape | None = None
    """The backbone's shape."""
    upstream: str = ""
    """The model's own id on a hub, printed on the model card as the base model."""
