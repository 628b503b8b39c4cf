"""Prompts that are not what they seem: one that leaves no room for the text, one that the texts begin with already.

Nothing here imports torch.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..settings.model import Contract, Side

# A prompt with a larger share of max_tokens is refused: what tells texts apart would be truncated.
MOST = 0.5


def refuse_long_prompts(prompts: Iterable[str], tokenizer: Tokenizer, max_tokens: int, where: str | Path) -> None:
    """Raise AscentError if a prompt fills most of `max_tokens`, special tokens included."""
    prompts, truncation = list(prompts), tokenizer.truncation
    tokenizer.no_truncation()
    lengths = [len(tokenizer.encode(prompt).ids) if prompt else 0 for prompt in prompts]
    if truncation:
        tokenizer.enable_truncation(**truncation)
    for prompt, tokens in zip(prompts, lengths, strict=True):
        if tokens <= MOST * max_tokens:
            continue
        shown = prompt if len(prompt) <= 60 else f"{prompt[:57]}..."
        raise AscentError(
            f"{where}: the prompt {shown!r} alone has {tokens} tokens, {tokens / max_tokens:.0%} of max_tokens: {max_tokens}, so "
            "that little or nothing of each text would be read; shorten it in `prompts`, or raise max_tokens."
        )


def refuse_prompts(contract: Contract, tokenizer: Tokenizer, where: str | Path) -> None:
    """Raise AscentError if a prompt of a contract fills most of the length of its texts."""
    for side, tasks in contract.prompts.items():
        for task, prompt in tasks.items():
            refuse_long_prompts([prompt], tokenizer, getattr(contract.lengths(task), side), where)


def with_prompt(texts: pl.Series, prompt: str) -> int:
    """Return how many texts begin with the prompt already, in any case of its letters."""
    wanted = prompt.strip().lower()
    return int(texts.str.strip_chars_start().str.to_lowercase().str.starts_with(wanted).sum()) if wanted else 0


def prompt_twice(number: int, total: int, prompt: str, what: str) -> str:
    """Return the sentence for `number` of `total` texts that begin with the prompt already. what: names the texts."""
    return (
        f"{number:,} of {total:,} {what} ({number / total:.0%}) begin with the prompt {prompt!r} already, so that they have it "
        "twice; take it out of `prompts`, or out of the corpus."
    )


def prompts_twice(what: str, prompts: dict[Side, str], texts: dict[Side, pl.Series]) -> Iterator[str]:
    """Yield the sentence for each side of which a text begins with its prompt already. what: where the texts are from."""
    for side, part in texts.items():
        if number := with_prompt(part, prompts[side]):
            plural = "queries" if side == "query" else "documents"
            yield prompt_twice(number, len(part), prompts[side], f"distinct {plural} of {what}")
