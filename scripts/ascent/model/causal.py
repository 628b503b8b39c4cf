"""Causal language models: loaded, and asked how well they predict texts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ..errors import AscentError
from ..progress import Progress
from .device import find_device

# Logits of a batch, of which there are two copies in float32.
_LOGITS = 2**26


def load_causal(folder: Path, device: torch.device, otherwise: str) -> tuple[Any, Any]:
    """Return a causal language model, in bfloat16 on a GPU and float32 on a CPU, and its tokenizer.

    otherwise: what a model without all of its weights would do. Raises AscentError if there is none in the folder.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what is missing is said below, in one sentence
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AscentError(
            f"{folder}: is not a causal language model that transformers can load ({reason}); use another model."
        ) from None
    if report["missing_keys"]:
        raise AscentError(
            f"{folder}: has no weights for {sorted(report['missing_keys'])[0]}, so it would {otherwise}; use a whole"
            " causal language model."
        )
    # An encoder's class with a head loads without a word, and would predict each token from itself. Of architectures
    # that do not say (Mamba, Bloom), there are no encoders.
    if not next((module.is_causal for module in model.modules() if hasattr(module, "is_causal")), True):
        raise AscentError(
            f"{folder}: is an encoder ({model.config.model_type}), whose tokens see those behind them; use a causal"
            " language model."
        )
    return model.to(device).eval(), tokenizer


class LanguageModel:
    """A causal language model that reads texts of at most `max_tokens` tokens; what is behind them is not read.

    Raises AscentError if it is none, reads fewer tokens, or has no token that a text begins or ends with."""

    def __init__(self, folder: Path, max_tokens: int):
        self.device, self.max_tokens = find_device(), max_tokens
        self.model, self.tokenizer = load_causal(folder, self.device, "predict at random")
        ends = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        self.first = next((token for token in ends if token is not None), None)
        if self.first is None:
            raise AscentError(f"{folder}: its tokenizer has no token for a text's beginning or end; use another model.")
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and max_tokens >= most:
            raise AscentError(f"{folder}: reads {most} tokens, the first included; lower max_tokens below {most}.")

    @torch.inference_mode()
    def perplexities(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the perplexity of each text, float64 (texts,): the exponential of the mean negative logarithm of its
        tokens' probabilities, each given all before it, and the first given the token that texts begin with (or, in
        models without one, end with); infinity for a text without tokens.

        Texts of about the same length share a batch, padded behind their ends, which no token before sees. progress:
        counts the texts that have tokens."""
        found = np.full(len(texts), np.inf)
        for batch, rows in self._batches(texts):
            ids = torch.full((len(rows), 1 + max(map(len, rows))), self.first)
            mask = torch.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, 1 : 1 + len(row)] = torch.tensor(row)
                mask[place, : 1 + len(row)] = 1
            ids, mask = ids.to(self.device), mask.to(self.device)
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            counted = mask[:, 1:]
            found[batch] = ((losses * counted).sum(1).double() / counted.sum(1)).exp().cpu().numpy()
            if progress:
                progress.advance(len(rows))
        return found

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Yield the places of texts and their tokens, of similar lengths, the longest first."""
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        rows = [row[: self.max_tokens] for row in ids]
        waiting = [place for place in sorted(range(len(rows)), key=lambda place: -len(rows[place])) if rows[place]]
        width = self.model.get_output_embeddings().weight.shape[0]
        while waiting:
            size = max(1, _LOGITS // width // (1 + len(rows[waiting[0]])))
            batch, waiting = waiting[:size], waiting[size:]
            yield batch, [rows[place] for place in batch]
