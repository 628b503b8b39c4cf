"""How a model is used: the prompt contract, the base."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from .base import Count, Settings, as_written
from .evaluation import TWO_SIDED, TaskType
from .heads import ChosenHeads, Heads

Side = Literal["query", "document"]
PromptTask = Literal["default", TaskType]


class Lengths(Settings):
    """The most tokens of a text, by side."""

    query: Count
    """Of a query."""
    document: Count
    """Of a document."""

    @property
    def longest(self) -> int:
        """The larger one."""
        return max(self.query, self.document)

    def __str__(self) -> str:
        return as_written(self.model_dump()).removesuffix("...").strip()

    @model_serializer(mode="wrap")
    def _one_number(self, serialise):
        """Write one number where both are the same."""
        return self.query if self.query == self.document else serialise(self)


def _both_sides(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return {"query": given, "document": given}
    if not isinstance(given, dict | Lengths):
        raise ValueError(f"{given!r} is neither a number of tokens, at least 1, nor {{query: 64, document: 512}}: write one")
    return given


MaxTokens = Annotated[Lengths, BeforeValidator(_both_sides, json_schema_input_type=Count | Lengths)]


class Tokenising(Settings):
    """tokens/<dataset>.yaml: what the tokens of a data set's texts depend on, besides the tokenizer."""

    query_prompt: str
    """Text put before a query."""
    document_prompt: str
    """Text put before a positive or a negative."""
    max_tokens: MaxTokens
    """Texts are truncated to this many tokens, prompt and special tokens included: one number, or one per side."""
    pool_prompt: bool = True
    """Whether the prompts' tokens are pooled. If not, their number is stored."""

    @property
    def prompts(self) -> dict[Side, str]:
        """The prompts by side."""
        return {"query": self.query_prompt, "document": self.document_prompt}


class Contract(Settings):
    """The prompt contract: everything about a model, besides its weights, that changes its embeddings."""

    pooling: Literal["mean", "cls", "last", "weighted_mean"] = "mean"
    """How token states become one embedding: their mean, the first token's, the last token's, or a mean in which the
    i-th token has the weight i (for causal models, arXiv 2202.08904)."""
    pool_prompt: bool = True
    """Whether a mean includes the prompt's tokens (INSTRUCTOR and GritLM exclude them: arXiv 2212.09741, arXiv
    2402.09906). They are counted as in sentence-transformers, including a special token before them."""
    heads: ChosenHeads = Heads()
    """Layers between the backbone and the embedding, and token-level heads, by name, with their settings. Default:
    none."""
    normalise: bool = True
    """Whether embeddings are scaled to length 1."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """The score of two embeddings."""
    max_tokens: MaxTokens = Lengths(query=512, document=512)
    """Texts are truncated to this many tokens, prompt and special tokens included. `{query: 64, document: 512}`: training,
    mining and teachers truncate queries and documents to lengths of their own; both texts of a row of sts or
    pair-classification, which have no side, to the larger. Evaluation and the released folder use the larger one for all
    texts, because sentence-transformers has only one."""
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    """Whether a token sees the tokens after it. Llama, Mistral, Qwen 2 and 3 and Gemma 3 can be made bidirectional."""
    prompts: dict[Side, dict[PromptTask, str]] = {}
    """Text put before a query or a document, by task type; `default` is for types that are not named. Both texts of a row
    of sts or pair-classification get the query's: mteb gives them no side."""

    @model_validator(mode="after")
    def _cosine_is_of_unit_length(self):
        if self.similarity == "cosine" and not self.normalise:
            raise ValueError("similarity: cosine needs normalise: true, because scores are inner products")
        return self

    @model_validator(mode="after")
    def _a_mean_leaves_out_prompts(self):
        if not self.pool_prompt and self.pooling in ("cls", "last"):
            raise ValueError(f"pool_prompt: false needs a mean, but pooling is {self.pooling}: set another pooling")
        return self

    @model_validator(mode="after")
    def _texts_without_a_side_have_one_prompt(self):
        for task in self.prompts.get("document", {}).keys() & set(TWO_SIDED):
            raise ValueError(f"prompts.document.{task} is never used, as both texts of a row get prompts.query.{task}: remove it")
        return self

    def prompt(self, side: Side, task: str) -> str:
        """Return the prompt of a side for a task type; the empty string if none is set.

        Reranking uses retrieval's prompt if it has none of its own. Texts of sts and pair-classification are neither
        queries nor documents, in mteb, too: both get the query's.
        """
        prompts = self.prompts.get("query" if task in TWO_SIDED else side, {})
        if task == "reranking" and task not in prompts:
            task = "retrieval"
        return prompts.get(task, prompts.get("default", ""))

    def lengths(self, task: str) -> Lengths:
        """Return the lengths to which a task type's texts are truncated, in all but evaluation."""
        longest = self.max_tokens.longest
        return Lengths(query=longest, document=longest) if task in TWO_SIDED else self.max_tokens

    @property
    def every_prompt(self) -> list[str]:
        """The prompts of all sides and task types, each once."""
        return list(dict.fromkeys(text for tasks in self.prompts.values() for text in tasks.values()))

    def tokenising(self, task: str) -> Tokenising:
        """Return what tokens of a task type's texts depend on."""
        return Tokenising(
            query_prompt=self.prompt("query", task),
            document_prompt=self.prompt("document", task),
            max_tokens=self.lengths(task),
            pool_prompt=self.pool_prompt,
        )


class Backbone(Contract):
    """A model and how it is used."""

    model: str
    """Name of a model in config/models.yaml."""


class Base(Backbone):
    """The model that training starts from, and its prompt contract."""

    soft_tokens: Annotated[int, Field(ge=0)] = 0
    """Number of new tokens for the adapter `soft_prompt` to train: `<soft0>`, `<soft1>`, ..., which prompts may
    contain."""


# ---------------------------------------------------------------- a step's settings, resolved


class Adoption(Contract):
    """base/stage.yaml: the contract of the model before training, and what is added to the model."""

    soft_tokens: int
    """See Base."""
