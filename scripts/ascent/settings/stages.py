"""The kinds of stage, and a stage's settings file."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from . import merging  # noqa: F401  its classes are kinds of stage
from .base import Settings, components, one_of
from .contrastive import Contrastive
from .evaluation import TaskType
from .model import Contract
from .pretraining import PretrainingObjective
from .prompts import DatasetPrompts
from .training import Stage


def _with_type(stage: Any) -> Any:
    """Give a stage without a type the default one; refuse the two spellings of earlier versions."""
    if not isinstance(stage, dict) or "type" in stage:
        return stage
    if "method" in stage:
        raise ValueError(
            f"method: {stage['method']} is no longer how a stage says its kind: write type: {stage['method']}"
        )
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
    prompts: dict[str, DatasetPrompts] = {}
    """The data sets' own prompts."""

    @property
    def where(self) -> str:
        """How error messages name the stage."""
        return f"recipe {self.recipe}, stages.{self.name}"
