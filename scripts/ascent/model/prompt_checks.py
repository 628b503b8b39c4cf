"""Prompts that are not what they seem: one that leaves no room for the text, one that the texts begin with already.

Nothing here imports torch.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..settings.model import Contract
from ..settings.prompts import Side, render
from .ending import unlimited
from .prompts import prompts_of_tasks

# A prompt with a larger share of max_tokens is refused: what tells texts apart would be truncated.
MOST = 0.5


def refuse_long_prompts(prompts: Iterable[str], tokenizer: Tokenizer, max_tokens: int, where: str | Path) -> None:
    """Raise AscentError if a prompt fills most of `max_tokens`, special tokens included."""
    for prompt, tokens in _long(prompts, tokenizer, max_tokens):
        raise AscentError(
            f"{where}: the prompt {_shown(prompt)!r} alone has {tokens} tokens, {tokens / max_tokens:.0%} of"
            f" max_tokens: {max_tokens}, so that little or nothing of each text would be read; shorten it in `prompts`,"
            " or raise max_tokens."
        )


def refuse_prompts(contract: Contract, tokenizer: Tokenizer, where: str | Path) -> None:
    """Raise AscentError if a prompt that a contract sets fills most of the length of its texts."""
    for side, tasks in contract.prompts.items():
        for task, given in tasks.items():
            prompts = [render(contract.template(side, task), text) for text in given]
            refuse_long_prompts(prompts, tokenizer, getattr(contract.lengths(task), side), where)


def long_task_prompts(contract: Contract, tokenizer: Tokenizer, where: str | Path) -> Iterator[str]:
    """Yield a sentence if prompts of mteb's own do: they are of more tasks than are evaluated."""
    longest, of_tasks = contract.max_tokens.longest, prompts_of_tasks(contract)
    found = {prompt for prompt, _ in _long(dict.fromkeys(of_tasks.values()), tokenizer, longest)}
    if names := [name for name, prompt in of_tasks.items() if prompt in found]:
        yield (
            f"{where}: mteb's own prompts of {len(names)} tasks leave less than half of max_tokens: {longest} to the"
            f" texts, first {names[0]}: {_shown(of_tasks[names[0]])!r}; name those that you evaluate in `prompts`, or"
            " raise max_tokens."
        )


def _long(prompts: Iterable[str], tokenizer: Tokenizer, max_tokens: int) -> list[tuple[str, int]]:
    """Return those prompts that fill most of `max_tokens`, with their tokens."""
    prompts = list(prompts)
    with unlimited(tokenizer):
        lengths = [len(tokenizer.encode(prompt).ids) if prompt else 0 for prompt in prompts]
    return [(prompt, tokens) for prompt, tokens in zip(prompts, lengths, strict=True) if tokens > MOST * max_tokens]


def _shown(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else f"{prompt[:57]}..."


def with_prompt(texts: pl.DataFrame) -> int:
    """Return how many texts begin with their prompt already, in any case of its letters. texts: with the columns text
    and prompt."""
    wanted = pl.col("prompt").cast(pl.String).str.strip_chars().str.to_lowercase()
    begin = pl.col("text").str.strip_chars_start().str.to_lowercase()
    return int(texts.select((begin.str.starts_with(wanted) & (wanted != "")).sum()).item())


def prompts_twice(what: str, texts: dict[Side, pl.DataFrame]) -> Iterator[str]:
    """Yield the sentence for each side of which a text begins with its prompt already. what: where the texts are from;
    texts: as with_prompt takes them."""
    for side, part in texts.items():
        if number := with_prompt(part):
            plural = "queries" if side == "query" else "documents"
            prompts = part["prompt"].unique(maintain_order=True).to_list()
            yield prompt_twice(number, len(part), prompts, f"distinct {plural} of {what}")


def prompt_twice(number: int, total: int, prompts: Sequence[str], what: str) -> str:
    """Return the sentence for `number` of `total` texts that begin with their prompt, one of `prompts`, already. what:
    names the texts."""
    which, it = (f"the prompt {prompts[0]!r}", "it") if len(prompts) == 1 else ("their prompts", "them")
    return (
        f"{number:,} of {total:,} {what} ({number / total:.0%}) begin with {which} already, so that they have {it} "
        f"twice; take {it} out of `prompts`, or out of the corpus."
    )
