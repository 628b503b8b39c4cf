"""What stands before a text: prompts, by side and task, and the templates that instructions stand in."""

from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from .base import Settings
from .evaluation import TWO_SIDED, TaskType
from .mteb_tasks import mteb_tasks

Side = Literal["query", "document"]
TEXT, INSTRUCTION = "{text}", "{instruction}"
# The template of a prompt that is not an instruction.
AS_IS = INSTRUCTION + TEXT


def _listed(given: Any) -> Any:
    if not isinstance(given, str | list):
        raise ValueError("it should be a text, or a list of texts that say the same")
    return [given] if isinstance(given, str) else given


# Paraphrases, the first of which is used wherever none is drawn.
Prompt = Annotated[list[str], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=str | list[str])]


def _known(key: str) -> str:
    types = ["default", *get_args(TaskType)]
    if key not in types and key not in mteb_tasks()["tasks"]:
        near = get_close_matches(key, [*types, *mteb_tasks()["tasks"]], n=1) or [", ".join(types)]
        own = "" if near[0] in types else ", or, for a task of your own, its type"
        raise ValueError(f"it is neither a task type nor a task that mteb knows: write {near[0]}{own}")
    return key


# A task type, `default`, or the name of one of mteb's tasks.
PromptTask = Annotated[str, AfterValidator(_known)]
Prompts = dict[Side, dict[PromptTask, Prompt]]


def _ends_with_the_text(template: str) -> str:
    if not template.endswith(TEXT) or template.count(TEXT) > 1 or template.count(INSTRUCTION) != 1:
        example = f"Instruct: {INSTRUCTION}\\nQuery: {TEXT}"
        raise ValueError(f'a template has {INSTRUCTION} once, and {TEXT} once, at its end: write it like "{example}"')
    return template


Template = Annotated[str, AfterValidator(_ends_with_the_text)]


def render(template: str, instruction: str) -> str:
    """Return what stands before a text with an instruction; nothing without one."""
    return template.removesuffix(TEXT).replace(INSTRUCTION, instruction) if instruction else ""


def side_of(side: Side, task: str) -> Side:
    """Return the side whose prompts a text gets: the query's on both sides of sts and pair-classification, as mteb
    gives these no side."""
    return "query" if task in TWO_SIDED else side


class DatasetPrompts(Settings):
    """The prompts of a data set's own."""

    query: Prompt | None = None
    """Text put before a query, or paraphrases of it. Default: by the model's `prompts`."""
    document: Prompt | None = None
    """Text put before a positive or a negative. Default: by the model's `prompts`."""

    @property
    def all(self) -> list[str]:
        """The prompts of both sides."""
        return [*(self.query or []), *(self.document or [])]

    def refuse_unused(self, task: str) -> None:
        """Raise ValueError if a prompt is never used for rows of a task type."""
        if self.document is not None and task in TWO_SIDED:
            raise ValueError(
                f"prompts.document is never used, as both texts of a row of {task} get prompts.query: remove it"
            )
