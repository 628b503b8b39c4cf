"""Stages that pre-train a backbone on texts: the objectives that a recipe may name, and each one's settings."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .base import Component, Share, components, one_of
from .model import Base, Contract, Tokenising
from .pairs import Dataset
from .prompts import DatasetPrompts
from .training import Training

MaskedShare = Annotated[float, Field(gt=0, lt=1)]


class PretrainingObjective(Component):
    """What a stage predicts from what."""

    folder = "training.pretraining_objectives"


class Mlm(PretrainingObjective):
    """Masked tokens are predicted from the text around them (BERT, arXiv 1810.04805, section 3.1)."""

    type: Literal["mlm"]
    """The objective."""
    mask: MaskedShare = 0.15
    """Share of a text's tokens that are predicted."""


class Retromae(PretrainingObjective):
    """As mlm, and in addition one layer predicts the whole text from its embedding (RetroMAE, arXiv 2205.12035, section
    3)."""

    type: Literal["retromae"]
    """The objective."""
    encoder_mask: MaskedShare = 0.3
    """Share of a text's tokens that are hidden from the backbone."""
    decoder_mask: Share = 0.5
    """Share of the other tokens that are hidden from the decoder when it predicts a token, drawn per token."""


class Mntp(PretrainingObjective):
    """Masked tokens are predicted from the state before them, for a causal backbone made bidirectional (LLM2Vec, arXiv
    2404.05961, section 2.2)."""

    type: Literal["mntp"]
    """The objective."""
    mask: MaskedShare = 0.2
    """Share of a text's tokens that are predicted."""


def _spelled_out(value: Any) -> Any:
    """Take a name alone for an objective with its defaults."""
    names = components(PretrainingObjective)
    if isinstance(value, dict) and "type" not in value and len(value) == 1 and (name := next(iter(value))) in names:
        settings = ", ".join(["type: " + name, *(f"{key}: {number}" for key, number in (value[name] or {}).items())])
        raise ValueError(f"a map from a name is no longer how one objective is chosen: write {{{settings}}}")
    return {"type": value} if isinstance(value, str) else value


ChosenObjective = Annotated[
    one_of(PretrainingObjective),
    BeforeValidator(
        _spelled_out,
        json_schema_input_type=Literal[tuple(components(PretrainingObjective))] | one_of(PretrainingObjective),
    ),
]


class Pretraining(Training):
    """A stage that learns to predict tokens of its data sets' documents (positives and negatives). Only the backbone is
    kept."""

    rule = "pretrain"
    unit = "texts"

    type: Literal["pretraining"]
    """The kind of stage."""
    objective: ChosenObjective
    """What is predicted from what: a name, or a name as `type` with its settings."""

    @model_validator(mode="after")
    def _there_are_no_prompts(self):
        if self.adapter and self.adapter.trains_soft_tokens:
            raise ValueError(
                "adapter: soft_prompt trains tokens of prompts, and pre-training uses no prompts: use lora"
            )
        return self

    @property
    def objective_names(self) -> list[str]:
        return [self.objective.type]

    def tokenising(self, contract: Contract, name: str, task: str, own: DatasetPrompts | None = None) -> Tokenising:
        """Return the same without prompts: their tokens are known, so there is nothing to learn from predicting
        them."""
        return contract.model_copy(update={"prompts": {}, "templates": {}}).tokenising(task).without_rows()

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        yield from super().problems(base, data, contract)
        if base.attention == "causal":
            yield (
                "objective",
                "predicts a token from both sides of it, but base.attention is causal; set it to bidirectional",
            )
