"""A tokenizer that counts: of whole texts, without special tokens."""

from pathlib import Path

from tokenizers import Tokenizer

from ..errors import AscentError

# Texts at a time. The library keeps about a hundred bytes per token, and more at a time are slower.
_TEXTS = 100


def load_tokenizer(path: Path | None, where: str) -> Tokenizer:
    """Load a tokenizer.json, or that of a model's folder.

    where: what asks for it. Raises AscentError, which names that, if it is none.
    """
    file = path / "tokenizer.json" if path and path.is_dir() else path
    if file is None or not file.is_file():
        raise AscentError(
            f"{where}: there is no tokenizer at {file}; name a model with a tokenizer.json, or the file itself."
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise AscentError(f"{file}: is not a tokenizer ({str(error)[:200]}); name a tokenizer.json.") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def count_tokens(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    """Return how many tokens each text has."""
    counts = []
    for begin in range(0, len(texts), _TEXTS):
        encoded = tokenizer.encode_batch_fast(texts[begin : begin + _TEXTS], add_special_tokens=False)
        counts += [len(each.ids) for each in encoded]
    return counts
