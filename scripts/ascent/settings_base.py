"""What settings are made of: the frozen model, and what several of them take."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
# Names become parts of paths.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
TaskType = Literal["retrieval", "reranking", "sts", "classification", "clustering", "pair-classification"]
Split = Literal["train", "validation", "test"]


class Settings(BaseModel):
    """Frozen settings: unknown keys are errors, and a docstring under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
