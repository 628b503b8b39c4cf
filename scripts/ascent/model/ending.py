"""The special tokens that a tokenizer puts around a text, and the end token that last-token pooling reads.

Nothing here imports torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer, processors

from ..errors import AscentError
from ..files import read_json

# Of which each vocabulary knows a part.
PROBE = "What is this? 这是什么？ Что это?"


@contextmanager
def unlimited(tokenizer: Tokenizer) -> Iterator[None]:
    """Let a tokenizer neither truncate nor pad meanwhile."""
    truncation, padding = tokenizer.truncation, tokenizer.padding
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        yield
    finally:
        if truncation:
            tokenizer.enable_truncation(**truncation)
        if padding:
            tokenizer.enable_padding(**padding)


def added_tokens(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Return the special tokens that a tokenizer puts before a text, and those behind it."""
    with unlimited(tokenizer):
        encoded = tokenizer.encode(PROBE)
    own = [place for place, added in enumerate(encoded.special_tokens_mask) if not added]
    return encoded.tokens[: own[0]], encoded.tokens[own[-1] + 1 :]


def append_end(tokenizer: Tokenizer, end: str | None, where: str | Path) -> None:
    """Let a tokenizer end every text with its end token, a truncated one, too, unless it ends texts with a special
    token already.

    Raises AscentError for a tokenizer without an end token.
    """
    before, behind = added_tokens(tokenizer)
    if behind:
        return
    if end is None or tokenizer.token_to_id(end) is None:
        raise AscentError(
            f"{where}: append_eos: true, but its tokenizer has no end token; set eos_token in its"
            " tokenizer_config.json."
        )

    def around(text: str, kind: int) -> list[str]:
        return [*(f"{token}:{kind}" for token in before), f"{text}:{kind}", f"{end}:{kind}"]

    processor = processors.TemplateProcessing(
        single=around("$A", 0),
        pair=around("$A", 0) + around("$B", 1),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in dict.fromkeys([*before, end])],
    )
    kept = tokenizer.post_processor
    adds_none = isinstance(kept, processors.ByteLevel)  # it only moves offsets
    tokenizer.post_processor = processors.Sequence([kept, processor]) if adds_none else processor


def stated_end(folder: Path) -> str | None:
    """Return the end token that a folder's files name; None without one."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = read_json(folder / name).get("eos_token") if (folder / name).exists() else None
        if token:
            return token["content"] if isinstance(token, dict) else token
    return None
