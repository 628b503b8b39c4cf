"""Models that score or embed texts for another model to learn from."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from .base import Count, Settings, as_written
from .evaluation import TaskType
from .model import Backbone


class BiEncoderTeacher(Backbone):
    """A teacher that embeds queries and documents separately. Its score is the inner product of two embeddings."""

    # Each text once, whatever it is paired with; else each pair.
    embeds: ClassVar[bool] = True

    type: Literal["bi-encoder"]
    """The kind of teacher."""


class CrossEncoderTeacher(Settings):
    """A teacher that reads a query and a document together. Its score is its only logit."""

    embeds: ClassVar[bool] = False

    type: Literal["cross-encoder"]
    """The kind of teacher."""
    model: str
    """Name of a model in config/models.yaml: one for sequence classification, with one label."""
    max_tokens: Count = 512
    """A query and a document that have more tokens together are truncated, the longer one first. Special tokens
    count."""


class StoredTeacher(Settings):
    """Scores that come with the corpus, from the columns `positive_scores` and `negative_scores` of the reader
    `table`."""

    type: Literal["stored"]
    """The kind of teacher."""

    # No model runs.
    model: ClassVar[None] = None
    embeds: ClassVar[bool] = False


_Teacher = Annotated[BiEncoderTeacher | CrossEncoderTeacher | StoredTeacher, Field(discriminator="type")]


def _type_was_kind(given: Any) -> Any:
    if isinstance(given, dict) and "kind" in given:
        renamed = {"type" if key == "kind" else key: value for key, value in given.items()}
        raise ValueError(f"'kind' is now called 'type'; write teacher: {as_written(renamed)}")
    return given


Teacher = Annotated[_Teacher, BeforeValidator(_type_was_kind, json_schema_input_type=_Teacher)]


class Teaching(Settings):
    """teacher/<dataset>.yaml: what scores or embeds a data set's texts for a stage to learn from."""

    teacher: Teacher
    """The model, and how it is used."""
    task: TaskType
    """The task type, which chooses a bi-encoder's prompts."""
