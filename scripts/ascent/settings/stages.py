"""The kinds of stage, and a stage's settings file."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from .base import Positive, Settings, components, one_of
from .contrastive import Contrastive
from .evaluation import TaskType
from .model import Contract
from .pretraining import PretrainingObjective
from .training import Stage, listed


class Linear(Stage):
    """A stage that takes the weighted mean of its parents' weights (model soup, arXiv 2203.05482)."""

    rule = "merge"

    type: Literal["linear"]
    """The kind of stage."""
    weights: list[Positive]
    """One weight per parent; they are scaled to sum to 1."""

    @property
    def summary(self) -> str:
        """See Stage."""
        total = sum(self.weights)
        parts = [f"{weight / total:.2g} of {name}" for name, weight in zip(self.parents, self.weights, strict=True)]
        return f"the weighted mean of models: {listed(parts)}"

    @model_validator(mode="after")
    def _one_weight_each(self):
        if len(self.weights) != len(self.parents):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.parents)} parents: give one per parent")
        return self


def _with_type(stage: Any) -> Any:
    """Give a stage without a type the default one; refuse the two spellings of earlier versions."""
    if not isinstance(stage, dict) or "type" in stage:
        return stage
    if "method" in stage:
        raise ValueError(f"method: {stage['method']} is no longer how a stage says its kind: write type: {stage['method']}")
    objective = stage.get("objective")
    for name in objective if isinstance(objective, dict) else [objective]:
        if isinstance(name, str) and name in components(PretrainingObjective):
            raise ValueError(f"the objective {name} belongs to another kind of stage: add type: pretraining")
    return {"type": Contrastive.component(), **stage}


AnyStage = Annotated[one_of(Stage), BeforeValidator(_with_type, json_schema_input_type=one_of(Stage))]


class StageSettings(Settings):
    """stage.yaml: a stage's settings, complete, as its steps read them."""

    recipe: str
    """The recipe's name."""
    name: str
    """The stage's name."""
    stage: AnyStage
    """The stage as in the recipe, with defaults filled in."""
    contract: Contract
    """The contract of the model that the stage makes."""
    tasks: dict[str, TaskType] = {}
    """The task type of each data set."""

    @property
    def where(self) -> str:
        """How error messages name the stage."""
        return f"recipe {self.recipe}, stages.{self.name}"
