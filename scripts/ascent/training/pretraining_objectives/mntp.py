"""Masked next-token prediction, for a causal backbone made bidirectional (LLM2Vec, arXiv 2404.05961, section 2.2)."""

import torch

from ...errors import AscentError
from ...model.embedding_model import EmbeddingModel
from ..pretraining_model import OutputHead
from . import MaskedPrediction


class Mntp(MaskedPrediction):
    """Predicts masked tokens from the state before them, by the backbone's own output embeddings."""

    before = 1

    def make_head(self, model: EmbeddingModel) -> torch.nn.Module:
        return OutputHead(model.backbone.get_input_embeddings().weight)

    def check(self, backbone: torch.nn.Module, where: str) -> None:
        """Reject a backbone whose states were never trained to predict the next token, or not by its input
        embeddings."""
        if not any(getattr(module, "is_causal", False) for module in backbone.modules()):
            raise AscentError(
                f"{where}: mntp is for a causal backbone made bidirectional, but this one is an encoder; use mlm."
            )
        if not backbone.config.tie_word_embeddings:
            raise AscentError(
                f"{where}: mntp predicts by the input embeddings, but this backbone has separate output embeddings,"
                " which a stage's model does not hold; use a backbone with tie_word_embeddings."
            )
