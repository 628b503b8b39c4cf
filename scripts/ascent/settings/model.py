"""How a model is used: the prompt contract, the base."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from .base import Count, Seed, Settings, as_written
from .evaluation import SEARCHED, TWO_SIDED
from .heads import ChosenHeads, Heads
from .mteb_tasks import own_prompt, task_type
from .prompts import AS_IS, DatasetPrompts, Prompts, Side, Template, render, side_of


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
        raise ValueError(
            f"{given!r} is neither a number of tokens, at least 1, nor {{query: 64, document: 512}}: write one"
        )
    return given


MaxTokens = Annotated[Lengths, BeforeValidator(_both_sides, json_schema_input_type=Count | Lengths)]


class Tokenising(Settings):
    """tokens/<dataset>.yaml and shards/<dataset>.yaml: what the tokens of a data set's texts depend on in training and
    in mining, besides the tokenizer."""

    query_prompts: list[str]
    """Texts put before a query: of several, each row draws one."""
    document_prompts: list[str]
    """Texts put before a positive or a negative."""
    query_template: Template | None = AS_IS
    """What a query's own prompt, of the rows that have one, stands in. None: rows' prompts are ignored."""
    document_template: Template | None = AS_IS
    """What a document's own prompt stands in."""
    seed: Seed | None = None
    """Seed of the draw, where there are several prompts."""
    max_tokens: MaxTokens
    """Texts are truncated to this many tokens, prompt and special tokens included: one number, or one per side."""
    pool_prompt: bool = True
    """Whether the prompts' tokens are pooled. If not, their number is stored."""

    @property
    def prompts(self) -> dict[Side, list[str]]:
        """The prompts by side."""
        return {"query": self.query_prompts, "document": self.document_prompts}

    @property
    def templates(self) -> dict[Side, str | None]:
        """The templates by side."""
        return {"query": self.query_template, "document": self.document_template}

    def without_rows(self) -> Self:
        """Return the same where rows' own prompts are ignored."""
        return self.model_copy(update={"query_template": None, "document_template": None})


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
    """Texts are truncated to this many tokens, prompt and special tokens included. `{query: 64, document: 512}`:
    training, mining and teachers truncate queries and documents to lengths of their own; both texts of a row of sts or
    pair-classification, which have no side, to the larger. Evaluation and the released folder use the larger one for
    all texts, because sentence-transformers has only one."""
    append_eos: bool = False
    """Whether every text ends with the tokenizer's end token (`eos_token`), a truncated one, too: it is appended unless
    the tokenizer ends texts with a special token already. `pooling: last` then pools its state (Qwen3-Embedding,
    E5-mistral)."""
    padding: Literal["left", "right"] | None = None
    """The side on which shorter texts of a batch are padded, stored in the folder's tokenizer. No embedding depends on
    it. Default: the base's own side, or right where its positions are learned."""
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    """Whether a token sees the tokens after it. Llama, Mistral, Qwen 2 and 3 and Gemma 3 can be made bidirectional."""
    prompts: Prompts = {}
    """Text put before a query or a document, by task type or by the name of one of mteb's tasks, which comes first;
    `default` is for types that are not named. A list holds paraphrases: training draws one per row, all else uses the
    first. Both texts of a row of sts or pair-classification get the query's: mteb gives them no side."""
    templates: dict[Side, Template] = {}
    """What the prompts of a side stand in, with which they are instructions: `"Instruct: {instruction}\\nQuery:
    {text}"`. A text without an instruction gets nothing. Default: the prompt as it is."""
    task_prompts: Literal["mteb"] | None = None
    """`mteb`: each of mteb's tasks that `prompts` does not name has mteb's own instruction, if mteb has one, in the
    query's template. Default: its type's."""

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
        for task in self.prompts.get("document", {}):
            if task in TWO_SIDED or task_type(task) not in (None, *SEARCHED):
                why = f"because its texts have no side and get prompts.query.{task}"
                raise ValueError(f"prompts.document.{task} is never used, {why}: remove it")
        return self

    @model_validator(mode="after")
    def _instructions_of_mteb_have_a_template(self):
        if self.task_prompts and "query" not in self.templates:
            raise ValueError(
                "task_prompts: mteb needs templates.query, because mteb's prompts are instructions without what"
                " separates them from a text"
            )
        return self

    def prompt(self, side: Side, task: str, name: str | None = None) -> str:
        """Return what stands before a text, by side and task type, and by the name of a task of mteb; the empty string
        if nothing is set. Of several paraphrases it is the first."""
        return render(self.template(side, task), self._given(side_of(side, task), task, name)[0])

    def template(self, side: Side, task: str) -> str:
        """Return what the prompts of a side stand in."""
        return self.templates.get(side_of(side, task), AS_IS)

    def _given(self, side: Side, task: str, name: str | None = None) -> list[str]:
        """Return the paraphrases of a side's prompt: of the task's name, then mteb's own, then of the type, reranking's
        being retrieval's if it has none of its own, then the default."""
        prompts = self.prompts.get(side, {})
        if name in prompts:
            return prompts[name]
        if name and self.task_prompts and side == "query" and (own := own_prompt(name)):
            return [own]
        if task == "reranking" and task not in prompts:
            task = "retrieval"
        return prompts.get(task, prompts.get("default", [""]))

    def lengths(self, task: str) -> Lengths:
        """Return the lengths to which a task type's texts are truncated, in all but evaluation."""
        longest = self.max_tokens.longest
        return Lengths(query=longest, document=longest) if task in TWO_SIDED else self.max_tokens

    @property
    def every_prompt(self) -> list[str]:
        """All prompts that are set, as they stand before texts, each once."""
        items = [(side, text) for side, tasks in self.prompts.items() for texts in tasks.values() for text in texts]
        return list(dict.fromkeys(render(self.templates.get(side, AS_IS), text) for side, text in items))

    def tokenising(self, task: str, own: DatasetPrompts | None = None, seed: int | None = None) -> Tokenising:
        """Return what tokens of a data set's texts depend on. own: its own prompts. seed: of the draw of paraphrases;
        without it there is no draw."""
        chosen: dict[str, Any] = {}
        for side in ("query", "document"):
            given = getattr(own, side_of(side, task), None) or self._given(side_of(side, task), task)
            rendered = [render(self.template(side, task), text) for text in (given if seed is not None else given[:1])]
            chosen |= {f"{side}_prompts": rendered, f"{side}_template": self.template(side, task)}
        several = max(len(chosen["query_prompts"]), len(chosen["document_prompts"])) > 1
        lengths = self.lengths(task)
        return Tokenising(**chosen, seed=seed if several else None, max_tokens=lengths, pool_prompt=self.pool_prompt)


def _of_the_catalogue(given: Any) -> Any:
    if isinstance(given, str):
        raise ValueError(f"{given!r} is not a contract that a recipe can name: write own, or leave it out")
    return given


OwnContract = Annotated[
    Contract | None, BeforeValidator(_of_the_catalogue, json_schema_input_type=Literal["own"] | None)
]


class Backbone(Contract):
    """A model and how it is used."""

    model: str
    """Name of a model in config/models.yaml."""
    contract: OwnContract = None
    """`own`: the contract is the one that config/models.yaml gives the model, which its folder must confirm. Other keys
    that are set here override it, and each that does is told. Default: the keys here, and their defaults."""


class Base(Backbone):
    """The model that training starts from, and its prompt contract."""

    soft_tokens: Annotated[int, Field(ge=0)] = 0
    """Number of new tokens for the adapter `soft_prompt` to train: `<soft0>`, `<soft1>`, ..., which prompts may
    contain."""


# ---------------------------------------------------------------- a step's settings, resolved


class Adoption(Contract):
    """base/stage.yaml: the contract of the model before training, and what is added to the model."""

    contract: OwnContract = None
    """See Base: the model's own, filled in."""
    soft_tokens: int
    """See Base."""
