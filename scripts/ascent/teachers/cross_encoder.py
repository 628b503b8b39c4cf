"""A cross-encoder as a teacher."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from ..errors import AscentError
from ..model.adoption.intact import check_files
from ..model.adoption.loading import load_tokenizer, load_weights
from ..model.backbone import longest_input
from ..model.batching import TOKENISED, by_length
from ..model.device import find_device
from ..model.encoder import tokens_at_once
from ..model.precision import precision_dtype
from ..progress import Progress


class CrossEncoder:
    """A model for sequence classification with one label, which reads a query and a document together.

    Only safetensors are read, and no code of the folder is run. precision: see Contrastive.precision. tokens_per_batch:
    padded tokens per forward pass. Raises AscentError if the folder holds another kind of model."""

    def __init__(self, folder: Path, *, max_tokens: int, precision: str = "auto", tokens_per_batch: int | None = None):
        config = check_files(folder)
        self.device = find_device()
        self.dtype = precision_dtype(precision, self.device)
        self.tokens_per_batch = tokens_per_batch or tokens_at_once(folder, self.device, precision)
        self.folder, self.max_tokens = folder, max_tokens
        model = load_weights(AutoModelForSequenceClassification, folder, config, pooler=True, dtype=torch.float32)
        self.tokenizer = load_tokenizer(folder, model.get_input_embeddings().num_embeddings)
        if model.config.num_labels != 1:
            raise AscentError(
                f"{folder}: gives {model.config.num_labels} logits, but a score is one; use another teacher."
            )
        longest = longest_input(model)
        if longest is not None and max_tokens > longest:
            raise AscentError(
                f"{folder}: takes at most {longest} tokens, but max_tokens is {max_tokens}; write at most max_tokens:"
                f" {longest} where the recipe names this model, whose default may be more."
            )
        if model.config.pad_token_id is None:  # a decoder finds each row's last token by it
            model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def score(self, queries: Sequence[str], documents: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logit of each query with its document: float32 (pairs,).

        progress: counts the pairs. Raises AscentError if a logit is not finite.
        """
        scores, rows = np.empty(len(queries), dtype=np.float32), self._rows(queries, documents)
        for batch in by_length([len(row["input_ids"]) for row in rows], self.tokens_per_batch):
            listed = {name: [rows[i][name].tolist() for i in batch] for name in rows[0]}
            inputs = self.tokenizer.pad(listed, return_tensors="pt").to(self.device)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                logits = self.model(**inputs).logits
            scores[batch] = logits[:, 0].float().cpu().numpy()
            if progress:
                progress.advance(len(batch))
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise AscentError(
                f"{self.folder}: the score of {documents[row][:60]!r} is not finite; use another teacher."
            )
        return scores

    def _rows(self, queries: Sequence[str], documents: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """Return what the model takes of each pair, int32 (tokens,) by name, but for the mask, which padding makes."""
        rows = []
        for start in range(0, len(queries), TOKENISED):
            texts = (list(side[start : start + TOKENISED]) for side in (queries, documents))
            encoded = self.tokenizer(
                *texts, truncation=True, max_length=self.max_tokens, return_attention_mask=False
            )  # fmt: skip
            arrays = {name: [np.array(ids, dtype=np.int32) for ids in lists] for name, lists in encoded.items()}
            rows += [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]
        return rows
