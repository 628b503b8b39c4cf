"""What a user writes: the configuration and recipes.

Settings are declared in this folder only: name, type, default and meaning. `make schemas` writes config/schemas and
docs/reference.md from it, and a test fails when they drift apart.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .base import ARXIV, ORGANISATION_AND_NAME, Count, Name, Settings, Split
from .corpora import Corpus, Model
from .evaluation import Evaluate
from .languages import HubLanguage
from .leaks import Leaks
from .licences import Licensed
from .model import Base
from .pairs import Dataset
from .stages import AnyStage
from .synthesis import AnyGenerator, Synthesis
from .training import Running, Stage
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
    """Shrink the recipes for a trial. Default: build them as they are."""
    corpora: dict[Name, Corpus] = {}
    """Corpora by name, in config/corpora.yaml."""
    models: dict[Name, Model] = {}
    """Models by name, in config/models.yaml."""
    generators: dict[Name, AnyGenerator] = {}
    """Language models that write rows, by the name that a corpus's `source: {type: synthesis}` gives."""

    @property
    def synthesised(self) -> dict[str, Synthesis]:
        """The sources of the corpora whose rows a language model writes, by corpus."""
        return {name: corpus.source for name, corpus in self.corpora.items() if isinstance(corpus.source, Synthesis)}

    def made_from(self, corpora: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return corpora, with those that their rows were written about, and the local models that wrote them."""
        found, models, sources = list(corpora), [], self.synthesised
        for name in found:
            if source := sources.get(name):
                found += [source.documents] if source.documents not in found else []
                generator = self.generators[source.generator]
                models += [generator.model] if generator.is_local else []
        return found, models

    def read_corpus(self, corpus: str) -> str:
        """Return the corpus whose reader knows where a corpus's rows come from: that of the texts, if a language model
        wrote the rows about some."""
        while source := self.synthesised.get(corpus):
            corpus = source.documents
        return corpus


class Release(Licensed):
    """The model to release, and its name."""

    stage: str
    """The stage that makes the released model."""
    name: str = Field(pattern=ORGANISATION_AND_NAME)
    """The model's id on a hub, `organisation/name`."""
    licence_reason: str | None = None
    """Why the licence may allow more than those of the data, the teachers and the base, printed on the model card.
    Without it, such a release is refused."""
    languages: list[HubLanguage]
    """Languages, spelled as on the hub: en."""
    summary: str
    """One or two sentences at the top of the card."""


class Paper(Settings):
    """The paper that a recipe follows, and how far: for the comparison of recipes and the model card."""

    system: str
    """The system's name."""
    arxiv: str = Field(pattern=ARXIV)
    """The paper's number, 2309.07597."""
    reported: dict[str, float] = {}
    """The paper's own score of the system by benchmark, as it prints it."""
    source: str = ""
    """Where the scores stand, if not in the paper."""
    unverified: list[str] = []
    """What is not published, or was not read in the paper: here it is a choice."""
    missing: list[str] = []
    """What the system had and this recipe lacks."""


class Recipe(Settings):
    """config/recipes/<recipe>.yaml: one complete recipe."""

    paper: Paper | None = None
    """The paper that it follows."""
    base: Base
    """The model that training starts from, and its prompt contract."""
    data: dict[Name, Dataset]
    """Training pairs by name."""
    stages: dict[Name, AnyStage]
    """Stages by name. The name `base` is taken: it is the model before training."""
    shards: Count = 1
    """Number of shards per data set when it is embedded for mining; one job per shard."""
    running: Running = Running()
    """How training runs and what watches it. Changing it re-runs nothing."""
    evaluate: Evaluate
    """The stages and tasks to evaluate."""
    leaks: Leaks = Leaks()
    """How training texts are compared with the texts of the tasks, and what is done about those that match."""
    release: Release
    """The model to release."""

    def ancestors(self, stage: str) -> dict[str, Stage]:
        """Return a stage and all its ancestors, in the recipe's order."""
        wanted = [stage]
        for name in wanted:
            wanted += [parent for parent in getattr(self.stages.get(name), "parents", []) if parent not in wanted]
        return {name: stage for name, stage in self.stages.items() if name in wanted}

    @property
    def mined_documents(self) -> dict[Name, list[Split]]:
        """The corpora whose documents negatives are mined among, and the splits of these documents."""
        splits: dict[Name, set[Split]] = {}
        for stage in self.stages.values():
            for dataset in filter(stage.mines_for, stage.datasets_read):
                for corpus in stage.mining_used.documents:
                    splits.setdefault(corpus, set()).add(self.data[dataset].split)
        return {corpus: sorted(splits[corpus]) for corpus in sorted(splits)}

    @property
    def lineage(self) -> dict[str, Stage]:
        """The released stage and all its ancestors, in the recipe's order."""
        return self.ancestors(self.release.stage)

    @property
    def mined_in_lineage(self) -> list[str]:
        """The corpora among whose documents the released model's negatives were mined."""
        mining = [stage.mining_used for stage in self.lineage.values() if stage.mining_used]
        return [corpus for each in mining for corpus in each.documents]

    @property
    def made_of(self) -> tuple[list[str], list[str]]:
        """The corpora that the released model learnt from, and the models: the base and all teachers."""
        trained = [stage for stage in self.lineage.values() if stage.trains]
        datasets = [self.data[name] for stage in trained for name in stage.data]
        teachers = [
            *(model for data in datasets for model in data.measured_by),
            *(stage.teacher_model for stage in trained),
        ]
        models = [self.base.model, *(model for model in teachers if model)]
        corpora = [*(data.corpus for data in datasets), *self.mined_in_lineage]
        return list(dict.fromkeys(corpora)), list(dict.fromkeys(models))


class ReleaseSettings(Settings):
    """release.yaml: everything that the model card states, as the release step reads it."""

    name: str
    """The recipe's name."""
    recipe: Recipe
    """The recipe, with defaults filled in."""
    corpora: dict[str, Corpus]
    """The corpora that the recipe uses, by name."""
    models: dict[str, Model]
    """The models that the recipe uses, by name."""
