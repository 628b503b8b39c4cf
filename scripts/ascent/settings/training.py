"""What a stage may say that trains, and how it uses its data."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .adapters import ChosenAdapter
from .base import Component, Count, Positive, Seed, Settings
from .model import Base, Contract, Tokenising
from .negatives import Mining
from .optimisation import Optimisation
from .pairs import Dataset
from .prompts import DatasetPrompts, Prompts
from .teachers import Teacher


class Stage(Component):
    """What every stage has. A kind of stage is a class and a file of its name, which runs it.

    A kind overrides those properties and methods below that concern it; recipes, plans and reports ask nothing else.
    """

    folder = "training.stages"
    trains: ClassVar[bool] = False
    """Whether it trains on data sets: then it is a Training."""
    package: ClassVar[str | None] = None
    """A package that it needs and Ascent does not, with its version as pip takes it."""

    parents: list[str] = Field(alias="from", default=["base"], min_length=1)
    """The stages that this one starts from; `base` is the model before training."""
    prompts: Prompts | None = None
    """Prompts of this stage. Default: the parents'."""

    rule: ClassVar[Any]
    """Which rule makes it: train_<rule>, or merge_stages for `merge`. A class attribute or a property."""

    @property
    def summary(self) -> str:
        """What it does, in a phrase."""
        raise NotImplementedError

    @property
    def datasets_read(self) -> list[str]:
        """The data sets that it reads: those that it trains on, then those that it is scored on."""
        return []

    @property
    def teacher_used(self) -> Teacher | None:
        """What it learns from, besides its data."""
        return None

    @property
    def teacher_model(self) -> str | None:
        """The teacher's model. None without a teacher, or with stored scores."""
        return self.teacher_used.model if self.teacher_used else None

    @property
    def mining_used(self) -> Mining | None:
        """How its hard negatives are mined."""
        return None

    @property
    def held_out(self) -> Any:
        """What its weights are chosen by, with the data set as `data`; see Contrastive.development and
        Mixture.development."""
        return None

    def tokenising(self, contract: Contract, name: str, task: str, own: DatasetPrompts | None = None) -> Tokenising:
        """Return what the tokens of a data set depend on. task: its task type; own: its own prompts."""
        return contract.tokenising(task, own)

    def members(self, name: str) -> dict[str, Self]:
        """Return the stages that it stands for, by name: of one that trains with several seeds, one for each."""
        return {name: self}

    def data_name(self, name: str) -> str:
        """Return the stage's name in the paths of its tokens, mined negatives and teacher's outputs. They do not depend
        on the seed, so the stages of several seeds have one in common: the name in the recipe."""
        return name

    def with_defaults(self, data: dict[str, Dataset]) -> Self:
        """Return it with those defaults set that depend on its data sets."""
        return self

    def mines_for(self, dataset: str) -> bool:
        """Return whether it mines negatives for a data set."""
        return False

    def learns_from_own_negatives(self, dataset: str, task: str) -> tuple[str, str]:
        """Return a loss of a data set, of this task type, that learns nothing without its rows' own negatives, which
        are not mined, and what it needs; empty texts if there is none."""
        return "", ""

    def teacher_needs(self, dataset: str) -> dict[str, str]:
        """Return the losses of a data set that learn from the teacher, and what each needs from it."""
        return {}

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Yield what it names: (the key, what it names, the name). What it names is a stage, a data set, a corpus or a
        model."""
        yield from (("from", "stage", parent) for parent in self.parents)

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it in its recipe: (the key, the rest of the sentence). contract: that of its
        model."""
        yield from ()


def listed(names: list[str], last: str = "and") -> str:
    """Return names as a sentence lists them: `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


class DataShare(Settings):
    """How much of a data set a stage takes."""

    weight: Positive | None = None
    """The data set's share of the rows, relative to the other data sets' weights. Default: by its size. Set it for all
    data sets of a stage, or for none."""


def datasets_by_name(data: Any) -> Any:
    """Take a list of data sets for a map to their defaults."""
    if isinstance(data, str):
        raise ValueError(f"is a list of names: write [{data}]")
    if isinstance(data, list) and all(isinstance(name, str) for name in data):
        if repeated := [name for name in data if data.count(name) > 1]:
            raise ValueError(
                f"names '{repeated[0]}' more than once: name it once, and set weight to take more of its rows"
            )
        data = {name: {} for name in data}
    if isinstance(data, dict):
        data = {name: {} if use is None else use for name, use in data.items()}  # `questions:` with nothing after it
    if data == {}:
        raise ValueError("names no data set: name at least one")
    return data


Names = Annotated[list[str], Field(min_length=1)]
_Shares = Annotated[dict[str, DataShare], Field(min_length=1)]


class Training(Optimisation, Stage):
    """What every stage that trains has."""

    abstract = True
    trains = True
    unit: ClassVar[Literal["pairs", "texts"]] = "pairs"
    """What it trains on: a batch's rows."""

    data: Annotated[dict[str, DataShare], BeforeValidator(datasets_by_name, json_schema_input_type=Names | _Shares)]
    """The data sets to train on: a list of names, or a map from names to how much is taken of each."""
    adapter: ChosenAdapter | None = None
    """What trains in place of the backbone's weights, and is merged into them when the stage ends. Default: all weights
    train."""
    batching: Literal["mixed", "by_dataset"] = "mixed"
    """Whether a batch holds rows of all data sets, in their shares, or of only one; the data sets' batches are then
    interleaved in these shares."""
    sampling_temperature: Positive = 1
    """A data set without a weight has a share proportional to its number of rows to the power 1 / temperature: above 1,
    small ones get more than their size."""
    epochs: Positive = 1
    """Passes over the data: the number of rows taken is this many times all rows, in the data sets' shares."""
    max_steps: Count | None = None
    """Train for at most this many steps; the learning rate decays until then. Default: as many as the epochs have."""
    batch_size: Count = 64
    """Queries per step, over all processes; it determines the number of in-batch candidates. In pre-training, texts."""
    batch_tokens: Count | None = None
    """A token budget: a batch ends before it exceeds it (tokens of queries, positives and negatives, without padding),
    with batch_size rows at most. Without buckets, the rows keep their order. Default: no budget."""
    bucket_batches: Count | None = None
    """Length buckets: of the rows of this many batches, those of similar length form a batch, and the batches are
    shuffled. There is less padding, and a batch's documents have similar lengths. Default: no buckets."""
    seed: Seed = 0
    """Seed of the order of the pairs, of dropout, and of the draw of prompts where there are several."""
    seeds: list[Seed] = []
    """Train once with each of these seeds, in place of `seed`: `finetune` with seeds [0, 1] becomes the stages
    finetune-seed0 and finetune-seed1. Parents of a merge and evaluated stages may name all of them as finetune. Their
    tokens, mined negatives and teacher's outputs are made once; prompts are drawn by the seed 0."""

    @property
    def objective_names(self) -> list[str]:
        """The names of what it is trained by."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """See Stage."""
        objective = " + ".join(self.objective_names).replace("_", " ")
        verb = "pre-trained" if self.unit == "texts" else "trained"
        data = f"{self.epochs:g} pass{'es' * (self.epochs != 1)} over {listed(list(self.data))}"
        parts = [f"from {listed(self.parents)}, {verb} with {objective}, {data}"]
        if self.max_steps:
            parts.append(f"at most {self.max_steps:,} steps")
        if self.mining_used:
            parts.append(f"hard negatives mined by {self.mining_used.model}")
        if self.teacher_model:
            parts.append(f"taught by {self.teacher_model}")
        if self.adapter:
            parts.append(f"through an adapter ({self.adapter.type.replace('_', ' ')})")
        return ", ".join(parts)

    @property
    def passes(self) -> int:
        """How often a step goes forward and backward over a batch."""
        return 1

    @property
    def queue_size(self) -> int:
        """Queued candidates; 0 without a queue, which needs a copy of the model."""
        return 0

    @property
    def token_level_losses(self) -> list[str]:
        """The losses that train token-level heads."""
        return []

    def members(self, name: str) -> dict[str, Self]:
        """See Stage. What remains of `seeds` is its own."""
        if not self.seeds:
            return {name: self}
        return {f"{name}-seed{seed}": self.model_copy(update={"seed": seed, "seeds": [seed]}) for seed in self.seeds}

    def data_name(self, name: str) -> str:
        """See Stage."""
        return name.removesuffix(f"-seed{self.seed}") if self.seeds else name

    def tokenising(self, contract: Contract, name: str, task: str, own: DatasetPrompts | None = None) -> Tokenising:
        """See Stage. Paraphrases are drawn in what it trains on; stages of several seeds have their tokens in
        common."""
        seed = 0 if self.seeds else self.seed
        return contract.tokenising(task, own, seed if name in self.data else None)

    @property
    def datasets_read(self) -> list[str]:
        """See Stage."""
        return list(self.data)

    def references(self) -> Iterator[tuple[str, str, str]]:
        """See Stage."""
        yield from super().references()
        yield from (("data", "data set", name) for name in self.data)

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        """See Stage."""
        if len(self.parents) != 1:
            yield "from", f"has {len(self.parents)} parents, but training starts from one; merge them first"

    @model_validator(mode="after")
    def _seeds_are_told_apart(self):
        if repeated := [seed for seed in self.seeds if self.seeds.count(seed) > 1]:
            raise ValueError(f"seeds names {repeated[0]} more than once: name each once")
        if self.seeds and "seed" in self.model_fields_set and self.seeds != [self.seed]:
            raise ValueError("seeds is in place of seed: remove one of them")
        return self

    @model_validator(mode="after")
    def _four_bits_stay_whole(self):
        if self.adapter and self.adapter.four_bits and (self.zero == 3 or self.precision == "float8"):
            raise ValueError("adapter: qlora supports neither zero: 3 nor precision: float8: set zero: 2, bfloat16")
        return self

    @model_validator(mode="after")
    def _all_shares_have_weights_or_none(self):
        without = [name for name, use in self.data.items() if use.weight is None]
        if without and len(without) < len(self.data):
            raise ValueError(
                f"data.{without[0]} has no weight, but others have: set weight for all data sets, or for none"
            )
        if not without and self.sampling_temperature != 1:
            raise ValueError("sampling_temperature is for data sets without weights: remove it or the weights")
        return self


class Running(Settings):
    """How training is run and monitored. None of it changes the results, so changing it re-runs nothing."""

    loader_workers: Annotated[int, Field(ge=0)] | None = None
    """Processes per training process that read batches ahead; 0 reads each batch when its step begins. Default: 2 if
    there is a GPU, else 0."""

    checkpoint_minutes: Positive = 10
    """Minutes between checkpoints; more if writing one takes over a thirtieth of that, so that at most a thirtieth of
    the time goes into writing."""
    checkpoint_steps: Count | None = None
    """A checkpoint is also written every this many steps. Default: only by minutes."""
    trackers: list[Literal["tensorboard", "wandb"]] = []
    """Where metrics are also written: `tensorboard` to results/<recipe>/<stage>/tensorboard, `wandb` as its own
    environment variables say. Each needs its package."""
