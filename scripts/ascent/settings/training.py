"""What a stage that trains may be told."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from .adapters import Adapter
from .base import Count, Positive, Seed, Settings, Share
from .losses import Objective, Objectives
from .model import Contract, PromptTask, Side, Tokenising
from .negatives import Mining
from .pretraining import PretrainObjective
from .teachers import Teacher

Offload = Literal["none", "cpu", "nvme"]


class Stage(Settings):
    """What every stage has."""

    parents: list[str] = Field(alias="from", default=["base"], min_length=1)
    """The stages that this one starts from; `base` is the model before training."""
    prompts: dict[Side, dict[PromptTask, str]] | None = None
    """Prompts of this stage; the parents' when absent."""


class DataShare(Settings):
    """How much of a data set a stage takes."""

    weight: Positive | None = None
    """The data set's share of the rows, relative to the other data sets' weights; by its size when absent. Give all data sets
    of a stage one, or none."""


class DataUse(DataShare):
    """How a stage uses a data set."""

    objective: Objective | None = None
    """Another loss than the stage's for these rows, in the same form."""
    in_batch: bool | None = None
    """Whether other rows' documents are negatives, too. When absent they are, but for data sets of the types classification and
    clustering: their positives are labels, or rows of the same label, so another row's document may be an answer."""
    loss_weight: Positive = 1
    """Factor on the rows' losses."""
    mine: bool | None = None
    """Whether these rows have the stage's mined negatives in place of their own. When absent they have if a loss of theirs
    compares a positive with negatives."""

    def competes(self, task: str) -> bool:
        """Return `in_batch`, or its default for the data set's task type."""
        return task not in ("classification", "clustering") if self.in_batch is None else self.in_batch


def _by_name(data: Any) -> Any:
    """Take a list of data sets for a mapping to their defaults."""
    if isinstance(data, list) and all(isinstance(name, str) for name in data):
        if repeated := [name for name in data if data.count(name) > 1]:
            raise ValueError(f"names '{repeated[0]}' more than once: give it once, and a weight to take its rows more often")
        data = {name: {} for name in data}
    if isinstance(data, dict):
        data = {name: {} if use is None else use for name, use in data.items()}  # `questions:` and nothing behind it
    if data == {}:
        raise ValueError("names no data set: name one at least")
    return data


_Names = Annotated[list[str], Field(min_length=1)]
_Shares = Annotated[dict[str, DataShare], Field(min_length=1)]
_Uses = Annotated[dict[str, DataUse], Field(min_length=1)]


class Development(Settings):
    """How a stage's best weights are found while it trains."""

    data: str
    """A data set that the stage does not train on. It is scored by nDCG@10 of its queries among its own documents, or, when its
    rows are graded, by Spearman's correlation."""
    every_steps: Count = 100
    """Steps between two scores. The last step is scored, too, and the best weights become the stage's model."""
    patience: Count | None = None
    """Training ends after so many scores in a row that are no better than the best; at its last step when absent."""


class Adversarial(Settings):
    """Adversarial perturbation of the input embeddings (fast gradient method, arXiv 1605.07725): a step descends the sum of the
    loss and of the loss with each text's input embeddings moved the way in which it rises fastest."""

    epsilon: Positive = 1
    """How far a text's input embeddings are moved: the Euclidean length over all its tokens and dimensions."""


class Queue(Settings):
    """Negatives from earlier batches: a queue of their positives, embedded by a momentum copy of the model (MoCo, arXiv
    1911.05722)."""

    size: Count = 16384
    """The positives of so many rows, the latest, are candidates of infonce beside the batch's documents."""
    momentum: Share = 0.999
    """After a step the copy's weights are this share of what they were, and for the rest the model's."""


class Training(Stage):
    """What every stage that trains has."""

    data: Annotated[dict[str, DataShare], BeforeValidator(_by_name, json_schema_input_type=_Names | _Shares)]
    """The data sets that are trained on: a list of names, or a map from names to how much is taken of each."""
    adapter: Adapter | None = None
    """What trains in place of the backbone's weights, and is merged into them when the stage ends; all train when absent."""
    batching: Literal["mixed", "by_dataset"] = "mixed"
    """Whether a batch holds rows of all data sets, in their shares, or of one only; the data sets' batches are then dealt out
    in these shares."""
    sampling_temperature: Positive = 1
    """Of data sets without weights, each has a share like its number of rows to the power 1 / temperature: above 1, small ones
    have more than their size."""
    epochs: Positive = 1
    """Passes over the data: so many times all rows, in the data sets' shares."""
    max_steps: Count | None = None
    """Train for this many steps at most; the learning rate falls until then. Default: as many as the epochs have."""
    batch_size: Count = 64
    """Queries in a step, over all processes: the number of in-batch candidates follows from it. In pre-training, texts."""
    batch_tokens: Count | None = None
    """A budget: a batch ends before it holds more tokens (those of queries, positives and negatives, without padding), with
    batch_size rows at most. Without buckets, the rows keep their order."""
    bucket_batches: Count | None = None
    """Length buckets: of each so many batches' rows, those of like length make a batch, and the batches are shuffled. Less is
    padded, and a batch's documents are alike in length. No buckets when absent."""
    learning_rate: Positive = 2e-5
    """The highest learning rate."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after warm-up."""
    warmup: Share = 0.1
    """Share of the steps in which the learning rate rises linearly."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decay of matrices; biases and norms are left alone."""
    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the whole gradient; 0 for none."""
    dropout: Share | None = None
    """Dropout of the backbone; the backbone's own when absent."""
    mini_batch_tokens: Count = 16384
    """Tokens that one process embeds at a time. A batch that holds more goes through the gradient cache (pre-training adds
    gradients up), so that memory is bound by this number and not by batch_size."""
    precision: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """Arithmetic of matrix products; `auto` is bfloat16 where the processor has instructions for it, `float8` needs torchao and
    a GPU that has FP8 (Hopper), with bfloat16 for all else. Weights and optimizer stay float32."""
    compile: bool = False
    """Compile the backbone by torch.compile: minutes at the start, faster steps after."""
    zero: Literal[0, 1, 2, 3] = 0
    """DeepSpeed's ZeRO stage: 0 keeps everything on every process, 1 spreads the optimizer's state over the processes, 2 also
    the gradients, 3 also the weights."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """What weights and gradients are kept in; `bfloat16` needs `zero: 1` or more, whose optimizer holds the float32 weights
    (DeepSpeed's bf16)."""
    offload_optimizer: Offload = "none"
    """Where the optimizer's state lies and is computed: on the GPU, in the machine's memory, or in files under TMPDIR."""
    offload_weights: Offload = "none"
    """Where weights that are not in use lie; needs `zero: 3`."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: a third more work, a fraction of the memory."""
    seed: Seed = 0
    """Seed of the order of the pairs and of dropout."""

    @model_validator(mode="after")
    def _zero_serves_what_is_asked(self):
        if self.offload_weights != "none" and self.zero != 3:
            raise ValueError(f"offload_weights: {self.offload_weights} needs zero: 3, which spreads the weights")
        if self.offload_optimizer != "none" and self.zero == 0:
            raise ValueError(f"offload_optimizer: {self.offload_optimizer} needs zero: 1, 2 or 3")
        if self.offload_optimizer == "nvme" and self.zero != 3:
            raise ValueError("offload_optimizer: nvme needs zero: 3")
        if self.weights == "bfloat16" and self.zero == 0:
            raise ValueError("weights: bfloat16 needs zero: 1, 2 or 3, whose optimizer holds the float32 weights")
        if self.weights == "bfloat16" and self.precision == "float32":
            raise ValueError("weights: bfloat16 leave no float32 to compute in: take precision: auto or bfloat16")
        return self

    @model_validator(mode="after")
    def _four_bits_stay_whole(self):
        if self.adapter and self.adapter.type == "qlora" and (self.zero == 3 or self.precision == "float8"):
            raise ValueError(
                "the weights in 4 bits of qlora suffer neither zero: 3 nor precision: float8: take zero: 2, bfloat16"
            )
        return self

    @property
    def tables(self) -> list[str]:
        """The data sets that training reads."""
        return list(self.data)

    def tokenising(self, contract: Contract, task: str) -> Tokenising:
        """Return what the tokens of a data set of a task type depend on."""
        return contract.tokenising(task)

    def taught(self, dataset: str) -> dict[str, str]:
        """Return the losses of a data set that learn from the stage's teacher, and what each needs of it."""
        return {}

    def mined(self, dataset: str) -> bool:
        """Return whether the stage mines negatives for a data set."""
        return False

    @model_validator(mode="after")
    def _shares_are_given_in_one_way(self):
        without = [name for name, use in self.data.items() if use.weight is None]
        if without and len(without) < len(self.data):
            raise ValueError(f"data.{without[0]} has no weight and others have: give all data sets one, or none")
        if not without and self.sampling_temperature != 1:
            raise ValueError("sampling_temperature serves data sets without weights: leave it or the weights out")
        return self


class TrainStage(Training):
    """A stage that trains embeddings."""

    objective: Objective
    """The loss: a name, or a map from names to each one's settings; several are summed."""
    data: Annotated[dict[str, DataUse], BeforeValidator(_by_name, json_schema_input_type=_Names | _Uses)]
    """The data sets that are trained on: a list of names, or a map from names to how each is used."""
    batching: Literal["mixed", "by_dataset", "balanced"] = "mixed"
    """Whether a batch holds rows of all data sets, in their shares, or of one only; the data sets' batches are then dealt out
    in these shares. `balanced`: every batch holds the same share of every data set, whose rows meet only each other, and the loss
    is the sum of the data sets' mean losses, each times its loss_weight (Conan-embedding, arXiv 2408.15710)."""
    development: Development | None = None
    """Keeps the weights that are best on held-out pairs, and may end training early; the last weights are kept when absent."""
    mining: Mining | None = None
    """Hard negatives, mined with an earlier stage's model; none when absent."""
    teacher: Teacher | None = None
    """What the stage learns from, a model or the stored scores of one, by an objective of its scores or embeddings: margin_mse,
    distill_kl, embedding_mse."""
    matryoshka: dict[Count, Positive] = {}
    """Prefixes of the embedding that serve alone too: their sizes, and the weight of each one's loss in the sum. The whole
    embedding's is 1 unless it is given (arXiv 2205.13147)."""
    queue: Queue | None = None
    """Negatives from earlier batches; none when absent."""
    adversarial: Adversarial | None = None
    """Adversarial perturbation of the input embeddings, for twice the work; none when absent."""

    @model_validator(mode="after")
    def _queue_serves(self):
        if self.queue and self.zero == 3:
            raise ValueError("queue needs whole weights to copy, which zero: 3 spreads over the processes: take zero: 2 at most")
        if self.queue and not any("infonce" in self.objective_of(name).chosen for name in self.data):
            raise ValueError("queue has candidates for infonce, which no data set's objective names: leave it out")
        return self

    @model_validator(mode="after")
    def _mining_serves(self):
        for name, use in self.data.items():
            if use.mine is not None and not self.mining:
                raise ValueError(f"data.{name}.mine speaks of negatives, and the stage mines none: leave it out, or give mining")
        if self.mining and not any(self.mined(name) for name in self.data):
            raise ValueError("mining has negatives that no data set's objective compares with: leave it out, or set mine: true")
        plain = self.sampling_temperature == 1 and all(use.weight is None for use in self.data.values())
        if self.mining and self.mining.dynamic and plain and self.epochs <= 1 and self.batching != "balanced":
            raise ValueError("mining.dynamic replaces negatives of rows that come again, and in one pass none does: raise epochs")
        return self

    @model_validator(mode="after")
    def _two_negatives_are_mixed(self):
        losses = [loss for name in self.data if self.mined(name) for loss in self.objective_of(name).chosen.values()]
        if losses and self.mining.per_query == 1 and any(getattr(loss, "mixing", None) for loss in losses):
            raise ValueError("mixing is made of two negatives of a row, and mining.per_query is 1: raise it")
        return self

    @model_validator(mode="after")
    def _input_embeddings_are_plain(self):
        if self.adversarial and self.adapter and self.adapter.type == "soft_prompt":
            raise ValueError("adversarial moves what the table of tokens gives, which adapter: soft_prompt replaces: take one")
        return self

    @model_validator(mode="after")
    def _balanced_batches_are_of_one_size(self):
        if self.batching == "balanced" and (self.batch_tokens is not None or self.bucket_batches is not None):
            raise ValueError("batching: balanced fixes the rows of each batch: leave batch_tokens and bucket_batches out")
        return self

    @model_validator(mode="after")
    def _development_is_held_out(self):
        if self.development and self.development.data in self.data:
            raise ValueError(f"development.data '{self.development.data}' is trained on; name another data set")
        return self

    @model_validator(mode="after")
    def _the_teacher_teaches(self):
        for loss, needed in [item for name in self.data for item in self.taught(name).items()]:
            if self.teacher is None:
                raise ValueError(f"the objective '{loss}' learns from a teacher: give the stage a teacher")
            if needed == "teacher embeddings" and self.teacher.type != "bi-encoder":
                has_none = "are not stored" if self.teacher.type == "stored" else "a cross-encoder has not"
                raise ValueError(f"the objective '{loss}' learns embeddings, which {has_none}: take a bi-encoder")
        mined = any(self.mined(name) and self.taught(name) for name in self.data)
        if mined and self.teacher.type == "stored":
            raise ValueError("mining takes negatives for which no score is stored: set mine: false, or name a model as teacher")
        if mined and self.mining.dynamic is not None:
            raise ValueError("mining.dynamic takes negatives that the teacher was not asked of: leave it out, or set mine: false")
        if self.teacher is not None and not any(self.taught(name) for name in self.data):
            raise ValueError("no objective learns from the teacher: leave it out, or name an objective such as margin_mse")
        return self

    @property
    def of_tokens(self) -> list[str]:
        """The losses that learn what the heads beside the embedding give."""
        return [name for dataset in self.data for name in self.objective_of(dataset).of_tokens]

    @property
    def teacher_model(self) -> str | None:
        """The model that is asked while the workflow runs; none without a teacher, or with stored scores."""
        return self.teacher.model if self.teacher else None

    def objective_of(self, dataset: str) -> Objectives:
        """Return the losses of a data set's rows."""
        return self.data[dataset].objective or self.objective

    def taught(self, dataset: str) -> dict[str, str]:
        """See Training."""
        if dataset not in self.data:  # it only develops with it
            return {}
        chosen = self.objective_of(dataset).chosen
        return {name: loss.needs for name, loss in chosen.items() if loss.needs.startswith("teacher ")}

    def mined(self, dataset: str) -> bool:
        """See Training."""
        if self.mining is None or dataset not in self.data:
            return False
        asked = self.data[dataset].mine
        return self.objective_of(dataset).compares if asked is None else asked

    @property
    def tables(self) -> list[str]:
        """The data sets that training reads: what it trains on, then what it is scored on."""
        return [*self.data, *([self.development.data] if self.development else [])]


class PretrainStage(Training):
    """A stage that learns to predict tokens of its data sets' documents (positives and negatives). Nothing but the backbone is
    kept."""

    objective: PretrainObjective
    """What is predicted from what: a name, or a map from one name to its settings."""

    # What other training may have; of these words the recipe's are refused.
    development: ClassVar[None] = None
    mining: ClassVar[None] = None
    teacher: ClassVar[None] = None
    teacher_model: ClassVar[None] = None
    of_tokens: ClassVar[list[str]] = []
    queue: ClassVar[None] = None
    adversarial: ClassVar[None] = None
    matryoshka: ClassVar[dict[int, float]] = {}

    @model_validator(mode="after")
    def _there_are_no_prompts(self):
        if self.adapter and self.adapter.type == "soft_prompt":
            raise ValueError("adapter: soft_prompt trains what stands in prompts, and pre-training has none: take lora")
        return self

    def tokenising(self, contract: Contract, task: str) -> Tokenising:
        """Return the same without prompts: each text would begin with words that are there to be predicted, and are known."""
        return contract.model_copy(update={"prompts": {}}).tokenising(task)


class Running(Settings):
    """How training is run and watched. None of it changes what comes out, so an edit of it reruns nothing."""

    loader_workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that read batches ahead, for each process that trains; 0 reads each batch when its step begins. When absent,
    2 where there is a GPU to keep busy, else 0."""

    checkpoint_minutes: Positive = 10
    """A checkpoint is written at least this often."""
    checkpoint_steps: Count | None = None
    """A checkpoint is written after every so many steps, too; not by steps when absent."""
    trackers: list[Literal["tensorboard", "wandb"]] = []
    """Where metrics are also written: `tensorboard` to results/<recipe>/<stage>/tensorboard, `wandb` as its own environment
    variables say. Each needs its package."""
