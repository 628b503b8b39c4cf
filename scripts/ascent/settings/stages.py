"""The kinds of stage, and a stage's settings file."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from .base import Positive, Settings
from .evaluation import TaskType
from .model import Contract
from .pretraining import PRETRAINING
from .training import PretrainStage, Stage, TrainStage


class MergeStage(Stage):
    """A stage that averages the weights of its parents."""

    method: Literal["linear"]
    """How weights are combined: the weighted mean (model soup, arXiv 2203.05482)."""
    weights: list[Positive]
    """One weight for each parent; they are scaled to sum to 1."""

    @model_validator(mode="after")
    def _one_weight_each(self):
        if len(self.weights) != len(self.parents):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.parents)} parents: give one each")
        return self


def _kind_of_stage(stage: Any) -> str:
    if isinstance(stage, Stage):
        return {PretrainStage: "pretrain", MergeStage: "merge"}.get(type(stage), "train")
    given = stage if isinstance(stage, dict) else {}
    if "method" in given:
        return "merge"
    named = given.get("objective") if isinstance(given.get("objective"), dict) else [given.get("objective")]
    return "pretrain" if any(name == known for name in named for known in PRETRAINING) else "train"


AnyStage = Annotated[
    Annotated[TrainStage, Tag("train")] | Annotated[PretrainStage, Tag("pretrain")] | Annotated[MergeStage, Tag("merge")],
    Discriminator(_kind_of_stage),
]


class StageSettings(Settings):
    """stage.yaml: a stage's settings, complete, as its steps read them."""

    recipe: str
    """The recipe's name."""
    name: str
    """The stage's name."""
    stage: AnyStage
    """The stage as the recipe has it, defaults filled in."""
    contract: Contract
    """The contract of the model that the stage makes."""
    tasks: dict[str, TaskType] = {}
    """The task type of each data set."""

    @property
    def where(self) -> str:
        """How error messages name the stage."""
        return f"recipe {self.recipe}, stages.{self.name}"
