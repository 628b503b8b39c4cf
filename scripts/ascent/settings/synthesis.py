"""Rows that a language model writes: which model answers, what it is asked, and which texts it is asked about."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from .base import Component, Count, Name, Positive, Seed, Settings, Share, Split, one_of
from .evaluation import TaskType


class Price(Settings):
    """What a million tokens cost, in any one currency. The plan multiplies."""

    input: Annotated[float, Field(ge=0)]
    """A million tokens of requests."""
    output: Annotated[float, Field(ge=0)]
    """A million tokens of answers."""


class Generator(Component):
    """What every generator has."""

    folder = "synthesis.backends"
    # Fields that change no answer: they are read from a settings file that re-runs nothing.
    running: ClassVar[frozenset[str]] = frozenset({"price"})
    # Whether its model runs inside the job, on a GPU if there is one.
    is_local: ClassVar[bool]

    temperature: Annotated[float, Field(ge=0)] = 0.8
    """Temperature that answers are drawn at; at 0 the likeliest token is taken."""
    top_p: Annotated[Share, Field(gt=0)] = 0.95
    """Tokens are drawn from the likeliest ones that hold this share of the probability."""
    max_tokens: Count = 1024
    """Tokens of an answer. One that is cut off here is a fault."""
    attempts: Count = 3
    """How many times an answer is asked for, each time with what was wrong with the last one, before the row is set
    aside."""
    price: Price | None = None
    """What its tokens cost, for the plan. Default: unknown."""

    @property
    def answering(self) -> dict[str, Any]:
        """The settings that an answer depends on, as plain values."""
        return self.model_dump(mode="json", exclude={*self.running, "attempts"})


class Openai(Generator):
    """A server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, or a provider's."""

    running = Generator.running | {
        "address",
        "key",
        "concurrency",
        "requests_per_minute",
        "timeout_s",
        "retries",
        "backoff_s",
    }
    is_local = False

    type: Literal["openai"]
    """The generator."""
    address: str
    """Where the server is, up to the version: `http://gpu-7:8000/v1`. It holds no password."""
    model: str
    """The model's name on the server."""
    key: str | None = None
    """Name of the environment variable that holds the key. The key itself is written nowhere. Default: none is sent."""
    answer_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    """`response_format` of a request: with a JSON schema, which vLLM, SGLang, llama.cpp and most providers hold answers
    to; any JSON object; or none. Answers are checked either way."""
    extra: dict[str, Any] = {}
    """Further keys of a request's body, such as `{chat_template_kwargs: {enable_thinking: false}}`."""
    concurrency: Count = 16
    """Requests at the same time."""
    requests_per_minute: Count | None = None
    """Most requests a minute. Default: as many as the server answers."""
    timeout_s: Positive = 600.0
    """Seconds without a byte from the server after which a request has failed."""
    retries: Annotated[int, Field(ge=0)] = 6
    """How many times a request that failed (time-out, lost connection, 408, 409, 429, 5xx) is sent again. Then its row
    is set aside."""
    backoff_s: Positive = 1.0
    """Seconds before it is sent again the first time; doubled each further time, up to a minute. Where the server says
    by Retry-After how long, it is that."""

    # Messages of these two never show the value, which may hold a secret.
    @field_validator("address")
    @classmethod
    def _is_an_address(cls, given: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", given):
            raise ValueError(
                "an address is http:// or https://, a host and a path that ends in the version, and holds no password"
            )
        return given

    @field_validator("key")
    @classmethod
    def _is_a_variable(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", given):
            raise ValueError(
                "this is not a name of an environment variable, such as OPENAI_API_KEY; export the key under a name"
            )
        return given

    @field_validator("extra")
    @classmethod
    def _extra_replaces_nothing(cls, given: dict[str, Any]) -> dict[str, Any]:
        own = {
            "model",
            "messages",
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
            "response_format",
            "stream",
            "n",
        } & given.keys()
        if own:
            raise ValueError(f"{sorted(own)[0]} is a key of the request already; remove it here")
        return given


class Transformers(Generator):
    """A causal language model that runs in the job itself: bfloat16 on a GPU, float32 on a CPU. Answers follow their
    JSON schema token by token."""

    running = Generator.running | {"batch_size"}
    is_local = True

    type: Literal["transformers"]
    """The generator."""
    model: Name
    """Name of a model in config/models.yaml."""
    batch_size: Count = 16
    """Answers that are written at the same time."""


AnyGenerator = one_of(Generator)


class Step(Settings):
    """One question to the model."""

    name: str
    """What its answer is called in later templates and in `row`."""
    user: str
    """The message, a Jinja template."""
    answer: dict[str, dict[str, Any]]
    """The JSON schema of each field of the answer. All are required, and there are no others."""
    tokens: Count
    """About how many tokens an answer has, for the plan."""
    rounds: Count = 1
    """How many times it is asked; each later time the template sees the answer before by the step's name."""

    @field_validator("name")
    @classmethod
    def _is_a_word(cls, given: str) -> str:
        if not given.isidentifier():
            raise ValueError("a step's name stands in templates, so it is letters, digits and '_'; rename it")
        return given

    @property
    def schema_of_answer(self) -> dict[str, Any]:
        """The JSON schema of the answer."""
        return {
            "type": "object",
            "properties": self.answer,
            "required": list(self.answer),
            "additionalProperties": False,
        }


# What a prompt may be about: a text of the documents, or of a pair; and the label of another class.
Input = Literal["document", "query", "positive", "negatives", "other_label"]


class Prompt(Settings):
    """config/prompts/<prompt>.yaml: how rows are asked for. Templates are Jinja's, and see `inputs`, `choices` and the
    answers of earlier steps by name."""

    summary: str
    """What its rows are."""
    task: TaskType
    """The task type of the rows."""
    inputs: Annotated[list[Input], Field(min_length=1)]
    """What it takes from the corpus: `document` alone, or columns of its pairs. `other_label` is another positive of
    the corpus, of classification rows."""
    of_task: TaskType = "retrieval"
    """Which of the corpus's pairs it is asked about. Documents have no task type."""
    choices: dict[str, Annotated[list[str | dict[str, Any]], Field(min_length=1)]] = {}
    """Lists from each of which one value is drawn for each row, by the seed."""
    system: str
    """The system message, a template."""
    steps: Annotated[list[Step], Field(min_length=1)]
    """The questions, in order, each a new chat."""
    row: dict[Literal["query", "positive", "negatives", "label", "scores"], str]
    """The row's columns, each a Jinja expression: `draft.query` is the field `query` of the answer to the step
    `draft`."""

    @property
    def of_documents(self) -> bool:
        """Whether it is asked about documents, else about pairs."""
        return self.inputs == ["document"]

    @model_validator(mode="after")
    def _names_are_unique(self):
        names = [*self.inputs, *self.choices, *(step.name for step in self.steps)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"inputs, choices and steps name '{twice[0]}' twice; rename one")
        if "document" in self.inputs and not self.of_documents:
            raise ValueError("inputs are `document` alone, or columns of pairs; remove the others")
        if missing := {"query", "positive"} - self.row.keys():
            raise ValueError(f"row has no {sorted(missing)[0]}; add it")
        return self


class Synthesis(Settings):
    """Rows that a language model writes about the texts of another corpus."""

    type: Literal["synthesis"]
    """The source."""
    documents: Name
    """The corpus whose texts it is asked about: its documents, or its pairs, as the prompt says."""
    prompt: Name
    """What is asked: the name of a file in config/prompts."""
    generator: Name
    """What answers: the name of one of `generators`."""
    rows: Count
    """How many rows are asked for, each about a text drawn by the seed. If there are fewer texts, each is asked about
    several times. A larger number keeps the rows of a smaller one."""
    split: Split = "train"
    """The split of the texts, and of the rows."""
    seed: Seed = 0
    """Draws the texts, the prompt's choices and the answers."""


class SynthesisSettings(Settings):
    """The settings file of such a corpus: all that its rows depend on."""

    source: Synthesis
    """The source."""
    prompt: Prompt
    """The prompt's file."""
    attempts: Count
    """As the generator has it."""
    answering: dict[str, Any]
    """Those settings of the generator that an answer depends on."""


class GeneratorSettings(Settings):
    """generators/<generator>.yaml: how the generator is run and reached. Changing it re-runs nothing by itself."""

    generator: AnyGenerator
    """The generator."""
