"""Soft prompts: only the embeddings of new tokens train (Lester et al. 2021, arXiv 2104.08691), by peft."""

from collections.abc import Callable

import torch

from ...errors import AscentError
from ..soft_tokens import soft_token_ids
from . import Adaptation, peft_merge


class SoftPrompt(Adaptation):
    """Trains the embeddings of the base's soft tokens."""

    def inject(self, backbone: torch.nn.Module) -> Callable[[], torch.nn.Module]:
        import peft

        ids = soft_token_ids(self.tokenizer)
        if not ids:
            raise AscentError(f"{self.where}: the base has no soft tokens to train; set base.soft_tokens.")
        return peft_merge(backbone, peft.TrainableTokensConfig(token_indices=ids))
