"""Token counts of texts, estimated from a sample, by a model's tokenizer without transformers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from ..errors import AscentError
from ..model.ending import append_end, stated_end
from ..model.prompt_checks import refuse_long_prompts

SAMPLE = 1000
SEED = 0
# Of a token, in the mean of English.
CHARACTERS = 4


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of texts, their tokens, and the sum of their squared lengths, which attention's cost is proportional
    to."""

    texts: float = 0.0
    tokens: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            texts=self.texts + other.texts, tokens=self.tokens + other.tokens, squares=self.squares + other.squares
        )

    def __mul__(self, times: float) -> "Count":
        return Count(texts=self.texts * times, tokens=self.tokens * times, squares=self.squares * times)


class EstimatedCounter:
    """Counts tokens of a model whose tokenizer is not here: four characters are one, and each text has two special
    tokens."""

    def __init__(self, max_tokens: int):
        self._max_tokens = max_tokens

    def count(self, texts: pl.Series, prompt: str | pl.Series) -> Count:
        """Return the count of `prompt + text` over all texts, which have one prompt or one each."""
        return self._count(texts.str.len_chars() + (len(prompt) if isinstance(prompt, str) else prompt.str.len_chars()))

    def count_pairs(self, queries: pl.Series, documents: pl.Series) -> Count:
        """Return the count of (query, document) inputs."""
        return self._count(queries.str.len_chars() + documents.str.len_chars())

    def _count(self, characters: pl.Series) -> Count:
        lengths = np.minimum(np.ceil(characters.to_numpy() / CHARACTERS) + 2, self._max_tokens)
        return Count(texts=len(lengths), tokens=lengths.sum(), squares=(lengths**2).sum())


class TokenCounter:
    """Counts tokens as a step that embeds with this model does: with prompt and special tokens, longer texts truncated.

    append_eos: see Contract. Raises AscentError for a folder without a tokenizer.json.
    """

    def __init__(self, folder: Path, max_tokens: int, *, append_eos: bool = False):
        path = folder / "tokenizer.json"
        try:
            self.tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no narrower one
            raise AscentError(
                f"{path}: cannot be read ({error}); save the tokenizer with transformers (AutoTokenizer) beside the"
                " weights."
            ) from None
        self.tokenizer.no_padding()
        if append_eos:
            append_end(self.tokenizer, stated_end(folder), folder)
        self._folder, self._max_tokens = folder, max_tokens
        self.tokenizer.enable_truncation(max_tokens)

    def count(self, texts: pl.Series, prompt: str | pl.Series) -> Count:
        """Return the count of `prompt + text` over all texts, which have one prompt or one each: exact for at most
        SAMPLE texts, else scaled from a sample.

        Raises AscentError for a prompt that fills most of the tokens.
        """
        prompts = pl.Series([prompt]).new_from_index(0, len(texts)) if isinstance(prompt, str) else prompt
        refuse_long_prompts(prompts.unique(maintain_order=True), self.tokenizer, self._max_tokens, self._folder)
        return self._count(len(texts), lambda sample: (prompts.gather(sample) + texts.gather(sample)).to_list())

    def count_pairs(self, queries: pl.Series, documents: pl.Series) -> Count:
        """Return the count of (query, document) inputs, exact or scaled like `count`."""
        return self._count(
            len(queries), lambda sample: list(zip(queries.gather(sample), documents.gather(sample), strict=True))
        )

    def _count(self, total: int, inputs: Callable[[np.ndarray], list]) -> Count:
        if not total:
            return Count()
        sample = np.arange(total)
        if total > SAMPLE:
            sample = np.sort(np.random.default_rng(SEED).choice(total, SAMPLE, replace=False))
        encoded = self.tokenizer.encode_batch_fast(inputs(sample))
        lengths = np.array([len(one.ids) for one in encoded], dtype=float)
        counted = Count(texts=len(sample), tokens=lengths.sum(), squares=(lengths**2).sum())
        return counted * (total / len(sample))
