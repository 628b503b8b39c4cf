"""LoRA: thin matrices added to the linear layers (Hu et al. 2022, arXiv 2106.09685), by peft."""

from collections.abc import Callable

import torch
from transformers.pytorch_utils import Conv1D

from ...errors import AscentError, did_you_mean
from . import Adaptation, peft_merge


class Lora(Adaptation):
    """Trains a product of two thin matrices per linear layer."""

    def inject(self, backbone: torch.nn.Module) -> Callable[[], torch.nn.Module]:
        import peft

        settings = self.settings
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            target_modules=self._targets(backbone),
        )
        return peft_merge(backbone, config)

    def _targets(self, backbone: torch.nn.Module) -> list[str]:
        linear = [name for name, module in backbone.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
        targets = self.settings.targets
        if targets == "all-linear":  # only layers have numbers in their names; a pooler takes no part in the embedding
            return [name for name in linear if any(part.isdigit() for part in name.split("."))]
        for target in targets:
            if not any(name == target or name.endswith(f".{target}") for name in linear):
                known = sorted({name.split(".")[-1] for name in linear})
                raise AscentError(
                    f"{self.where}.targets: the backbone has no linear layer '{target}'; {did_you_mean(target, known)}"
                )
        return list(targets)
