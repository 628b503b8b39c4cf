"""Models that score or embed texts for another model to learn."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import Count, Settings, TaskType
from .model import Backbone


class BiEncoderTeacher(Backbone):
    """A teacher that embeds queries and documents apart; its score is the inner product of the two embeddings."""

    kind: Literal["bi-encoder"]
    """The kind of teacher."""


class CrossEncoderTeacher(Settings):
    """A teacher that reads a query and a document together; its score is its one logit."""

    kind: Literal["cross-encoder"]
    """The kind of teacher."""
    model: str
    """Name of a model in config/models.yaml: one for sequence classification, with one label."""
    max_tokens: Count = 512
    """A query and a document that have more tokens together are cut, the longer one first; special tokens count."""


class StoredTeacher(Settings):
    """A teacher's scores that the corpora bring along, from the columns that the reader `table` calls positive_scores and
    negative_scores."""

    kind: Literal["stored"]
    """The kind of teacher."""

    # No model runs.
    model: ClassVar[None] = None


Teacher = Annotated[BiEncoderTeacher | CrossEncoderTeacher | StoredTeacher, Field(discriminator="kind")]


class Teaching(Settings):
    """teacher/<dataset>.yaml: what scores or embeds a data set's texts for a stage to learn."""

    teacher: Teacher
    """The model, and how it is used."""
    task: TaskType
    """The task type, which chooses a bi-encoder's prompts."""
