"""Objectives of pre-training, one module each, named as recipes name them, each with a class of its settings' name.

Every objective predicts masked tokens; a subclass of MaskedPrediction says what is different.
"""

from typing import ClassVar

import numpy as np
import torch

from ...errors import AscentError
from ...model.embedding_model import EmbeddingModel
from ...settings.pretraining import PretrainingObjective
from ..masking import Masking
from ..pretraining_model import PretrainingModel, TransformedHead


class MaskedPrediction:
    """Predicts masked tokens.

    parts: names of the losses that are summed. before: how many places before a token the state lies that predicts it.
    masking: how tokens are chosen and hidden. module: what DeepSpeed wraps.
    """

    parts: ClassVar[tuple[str, ...]] = ("masked",)
    before: ClassVar[int] = 0

    def __init__(self, settings: PretrainingObjective, model: EmbeddingModel, tokenizer, where: str):
        """where: names the objective in errors. Raises AscentError if the model cannot be trained by it."""
        self.settings = settings
        words = model.backbone.get_input_embeddings()
        self.masking = self.choose_masking(
            mask_id=mask_id(tokenizer, where),
            special=np.array(tokenizer.all_special_ids),
            vocabulary=min(len(tokenizer), words.num_embeddings),
        )
        if words.embedding_dim != model.backbone.config.hidden_size:
            raise AscentError(
                f"{where}: '{settings.type}' predicts by the input embeddings, which have {words.embedding_dim}"
                f" dimensions, but the states have {model.backbone.config.hidden_size}; use a backbone whose dimensions"
                " agree."
            )
        self.check(model.backbone, where)
        head = self.make_head(model)
        self.module = PretrainingModel(model, head, self.make_decoder(model))

    def choose_masking(self, *, mask_id: int, special: np.ndarray, vocabulary: int) -> Masking:
        """Return how tokens are chosen and hidden, given the tokenizer's tokens."""
        return Masking(
            share=self.settings.mask, mask_id=mask_id, special=special, vocabulary=vocabulary, first=self.before
        )

    def check(self, backbone: torch.nn.Module, where: str) -> None:
        """Raise AscentError if the backbone cannot learn this."""

    def make_head(self, model: EmbeddingModel) -> torch.nn.Module:
        """Return the head that predicts tokens from states."""
        # layer_norm_eps is transformers' name for it, 1e-5 torch's default.
        eps = getattr(model.backbone.config, "layer_norm_eps", 1e-5)
        return TransformedHead(model.backbone.get_input_embeddings().weight, eps)

    def make_decoder(self, model: EmbeddingModel) -> torch.nn.Module | None:
        """Return a decoder that predicts a text from its embedding, if there is one."""
        return None

    def predictions(self, predictable: list[int]) -> list[int]:
        """Return the number of predictions of each part, in texts with these numbers of predictable tokens."""
        return [sum(map(self.masking.count, predictable))]

    def decoder_inputs(
        self, texts: list[np.ndarray], draws: list[np.random.Generator]
    ) -> tuple[torch.Tensor, ...] | None:
        """Return what the decoder takes for some texts, see PretrainingModel.forward."""
        return None


def mask_id(tokenizer, where: str) -> int:
    """Return the token that stands for a hidden one: the tokenizer's mask token or, where there is none, as in
    decoders, the underscore, as in LLM2Vec (arXiv 2404.05961, section 2.2)."""
    if tokenizer.mask_token_id is not None:
        return tokenizer.mask_token_id
    underscore = tokenizer.get_vocab().get("_")
    if underscore is None:
        raise AscentError(f"{where}: the base's tokenizer has neither a mask token nor '_'; add a mask token to it.")
    return underscore
