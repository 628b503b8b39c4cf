"""What a user writes: the configuration and recipes.

Settings are declared in this folder only: name, type, default and meaning. `make schemas` writes config/schemas and
docs/reference.md from it, and a test fails when they drift apart.
"""

from typing import Literal

from pydantic import Field

from .base import Count, Name, Settings
from .corpora import Corpus, Model
from .evaluation import Evaluate
from .model import Base
from .pairs import Dataset
from .stages import AnyStage
from .training import Running
from .trial import Trial


class Config(Settings):
    """config/config.yaml names the recipes to build; config/corpora.yaml and config/models.yaml are the catalogue."""

    recipes: list[Name]
    """Names of the recipes to build; `demo` stands for config/recipes/demo.yaml."""
    recipe_folder: str = "config/recipes"
    """Where recipes are kept."""
    environment: Literal["ascent", "gpu"] = "ascent"
    """The conda environment of all steps under `--sdm conda`: a file of envs/, for CPUs or for GPU machines."""
    trial: Trial | None = None
    """Shrinks the recipes for a trial."""
    corpora: dict[Name, Corpus] = {}
    """Corpora by name, in config/corpora.yaml."""
    models: dict[Name, Model] = {}
    """Models by name, in config/models.yaml."""


class Release(Settings):
    """What is released, and how it is called."""

    stage: str
    """The stage whose model is released."""
    name: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    """The model's id on a hub, `organisation/name`."""
    licence: str
    """Licence of the released weights, as the hub writes it: apache-2.0."""
    languages: list[str]
    """Languages, as the hub writes them: en."""
    summary: str
    """One or two sentences at the top of the card."""


class Recipe(Settings):
    """config/recipes/<recipe>.yaml: one complete recipe."""

    base: Base
    """The model that training starts from, and its prompt contract."""
    data: dict[Name, Dataset]
    """Training pairs by name."""
    stages: dict[Name, AnyStage]
    """Stages by name; `base` is given."""
    shards: Count = 1
    """Pieces in which a data set is encoded, one job each."""
    running: Running = Running()
    """How training is run and watched."""
    evaluate: Evaluate
    """What is evaluated."""
    release: Release
    """What is released."""


class ReleaseSettings(Settings):
    """release.yaml: what the card tells, complete, as the release step reads it."""

    name: str
    """The recipe's name."""
    recipe: Recipe
    """The recipe, defaults filled in."""
    corpora: dict[str, Corpus]
    """The corpora that the recipe uses, by name."""
    models: dict[str, Model]
    """The models that the recipe uses, by name."""
