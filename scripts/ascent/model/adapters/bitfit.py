"""BitFit: only biases train (Ben Zaken et al. 2022, arXiv 2106.10199)."""

from collections.abc import Callable

import torch

from ...errors import AscentError
from . import Adaptation


class Bitfit(Adaptation):
    """Trains the backbone's biases; there is nothing to merge."""

    def inject(self, backbone: torch.nn.Module) -> Callable[[], torch.nn.Module]:
        biases = {name for name, _ in backbone.named_parameters() if name.split(".")[-1] == "bias"}
        if not biases:
            raise AscentError(
                f"{self.where}: a '{backbone.config.model_type}' backbone has no biases to train; use lora."
            )
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in biases)
        return lambda: backbone
