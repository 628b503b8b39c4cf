"""Adapters: a few weights that train in place of a frozen backbone's, and are merged into plain weights when a stage
ends.

One module each, named as recipes name them, each with a class of its settings' name, an Adaptation.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ...components import code_of
from ...errors import AscentError
from ...settings.adapters import Adapter
from ...settings.model import Contract
from ..backbone import load_backbone
from ..embedding_model import EmbeddingModel
from ..heads import PREFIX, load_heads
from ..saving import save_like

# How far embeddings from the merged weights may be from the adapter's, as a share of the largest number.
TOLERANCE = 1e-5
# The merge is checked on this many texts and their first tokens, which one process embeds in float64.
CHECKED_TEXTS, CHECKED_TOKENS = 8, 64


class Adaptation:
    """How an adapter changes a backbone that is on the CPU.

    Methods raise AscentError if the backbone lacks what the adapter trains, or the machine what it needs.
    """

    def __init__(self, settings: Adapter, tokenizer, where: str):
        """where: names the stage's adapter in errors."""
        self.settings, self.tokenizer, self.where = settings, tokenizer, where

    def prepare(self, backbone: torch.nn.Module, dtype: torch.dtype | None) -> None:
        """Change the weights of the backbone before training, if they are not trained as they are. dtype: of the
        backbone's matrix products, None for that of its weights."""

    def round(self, backbone: torch.nn.Module) -> None:
        """Give the backbone the float32 weights that the adapter was trained with, if they are not its own."""

    def inject(self, backbone: torch.nn.Module) -> Callable[[], torch.nn.Module]:
        """Freeze the backbone and add the adapter in place; return a function that merges it and returns the plain
        backbone."""
        raise NotImplementedError


def adapt(backbone: torch.nn.Module, adapter: Adapter, tokenizer, where: str, dtype: torch.dtype | None = None) -> None:
    """Freeze a backbone on the CPU and add the adapter in place; it remains a backbone like any other. dtype: of its
    matrix products. See Adaptation."""
    adaptation = code_of(adapter)(adapter, tokenizer, where)
    adaptation.prepare(backbone, dtype)
    adaptation.inject(backbone)


def peft_merge(backbone: torch.nn.Module, config) -> Callable[[], torch.nn.Module]:
    """Add an adapter of peft in place; return what merges it."""
    import peft  # takes seconds to import, and only some stages need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tied embeddings, whose other end is not loaded
        return peft.get_peft_model(backbone, config).merge_and_unload


def save_merged(
    parent: Path,
    adapter: Adapter,
    trained: dict[str, torch.Tensor],
    rows: Sequence[np.ndarray],
    contract: Contract,
    history: dict,
    folder: Path,
    where: str,
) -> None:
    """Write a model folder with the adapter merged into the parent's weights, as save_like does, and check it.

    trained: the weights that trained, float32, by their names in the adapted backbone, and those of the heads. rows:
    texts as token ids. Raises AscentError if the written folder embeds these differently from the adapter, or no
    differently from the parent.
    """
    # Soft tokens may stand anywhere in a prompt.
    texts = rows if adapter.trains_soft_tokens else [row[:CHECKED_TOKENS] for row in rows[:CHECKED_TEXTS]]
    backbone, tokenizer = load_backbone(parent, contract)
    heads = load_heads(parent, contract, backbone.config.hidden_size)

    def embed() -> torch.Tensor:
        # In float64: a deep language model amplifies float32's rounding beyond the tolerance.
        model = EmbeddingModel(backbone, contract, heads=heads).double().eval()
        with torch.no_grad():
            embeddings = model.embed(**model.inputs(texts, tokenizer.pad_token_id or 0, "cpu"))
        model.float()
        return embeddings

    before = embed()
    adaptation = code_of(adapter)(adapter, tokenizer, where)
    adaptation.round(backbone)
    merge = adaptation.inject(backbone)
    head_weights = {name: tensor for name, tensor in trained.items() if name.startswith(PREFIX)}
    adapter_weights = {name: trained[name] for name in trained.keys() - head_weights.keys()}
    missing, unknown = backbone.load_state_dict(adapter_weights, strict=False)
    assert not unknown and not {name for name, p in backbone.named_parameters() if p.requires_grad} & set(missing)
    heads.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in head_weights.items()}, strict=False)
    expected = embed()
    merged = {name: tensor.clone() for name, tensor in merge().state_dict().items()}
    kept = {f"{PREFIX}{name}": tensor for name, tensor in heads.state_dict().items()}
    save_like(parent, merged | kept, contract, history, folder)
    del merged  # as large as the model that is loaded next
    backbone, _ = load_backbone(folder, contract)
    heads = load_heads(folder, contract, backbone.config.hidden_size)
    after = embed()
    scale = max(1.0, float(expected.abs().max()))
    error, change = float((after - expected).abs().max()), float((after - before).abs().max())
    if not error <= TOLERANCE * scale:
        raise AscentError(
            f"{where}: the merged weights' embeddings differ by {error:.1e} from the adapter's, whose weights are too"
            " large to merge; lower the learning rate."
        )
    if not change > TOLERANCE * scale:
        raise AscentError(
            f"{where}: training changed no embedding of its data; train longer, or raise the learning rate."
        )
