"""Adapters: a few weights that train in place of a frozen backbone's, by peft; merged into plain weights when a stage ends."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers.pytorch_utils import Conv1D

from ..errors import AscentError, did_you_mean
from ..settings.adapters import Adapter, Bitfit, Lora, Qlora, SoftPrompt
from ..settings.model import Contract
from .backbone import load_backbone
from .embedding_model import EmbeddingModel
from .heads import PREFIX, load_heads
from .saving import save_like
from .soft_tokens import soft_token_ids

# How far embeddings by the merged weights may be from those by the adapter, as a share of the largest number.
TOLERANCE = 1e-5
# Tokens of each text that this is checked on, its first: one processor embeds them in float64 while all others wait.
CHECKED_TOKENS = 64


def adapt(backbone: torch.nn.Module, adapter: Adapter, tokenizer, where: str) -> None:
    """Freeze a backbone that is on the CPU, and give it the adapter in place; it stays a backbone like any other.

    where: names the stage in errors. Raises AscentError when the backbone lacks what the adapter trains, or the machine what it
    needs.
    """
    if isinstance(adapter, Qlora):
        _to_four_bits(backbone, where)
    _inject(backbone, adapter, tokenizer, where)


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

    trained: the weights that trained, float32, by their names in the adapted backbone, and of the heads.
    rows: texts as token ids.
    Raises AscentError when the written folder's embeddings of these are not the adapter's, or still the parent's.
    """
    # Soft tokens stand anywhere in a prompt.
    texts = rows if isinstance(adapter, SoftPrompt) else [row[:CHECKED_TOKENS] for row in rows]
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
    if isinstance(adapter, Qlora):  # what trained was beside the rounded weights
        _to_four_bits(backbone, where)
        _from_four_bits(backbone)
    merge = _inject(backbone, adapter, tokenizer, where)
    of_heads = {name: tensor for name, tensor in trained.items() if name.startswith(PREFIX)}
    missing, unknown = backbone.load_state_dict({name: trained[name] for name in trained.keys() - of_heads.keys()}, strict=False)
    assert not unknown and not {name for name, p in backbone.named_parameters() if p.requires_grad} & set(missing)
    heads.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in of_heads.items()}, strict=False)
    expected = embed()
    merged = {name: tensor.clone() for name, tensor in merge().state_dict().items()}
    kept = {f"{PREFIX}{name}": tensor for name, tensor in heads.state_dict().items()}
    save_like(parent, merged | kept, contract, history, folder)
    del merged  # of a large model as large as the one that is loaded now
    backbone, _ = load_backbone(folder, contract)
    heads = load_heads(folder, contract, backbone.config.hidden_size)
    found = embed()
    scale = max(1.0, float(expected.abs().max()))
    error, change = float((found - expected).abs().max()), float((found - before).abs().max())
    if not error <= TOLERANCE * scale:
        raise AscentError(
            f"{where}: the merged weights' embeddings differ by {error:.1e} from the adapter's; the adapter's weights are too "
            "large to be merged: lower the learning rate."
        )
    if not change > TOLERANCE * scale:
        raise AscentError(f"{where}: has changed no embedding of its data; train longer, or raise the learning rate.")


def _inject(backbone: torch.nn.Module, adapter: Adapter, tokenizer, where: str) -> Callable[[], torch.nn.Module]:
    """Freeze the backbone and give it the adapter; return what merges it and gives the plain backbone back."""
    if isinstance(adapter, Bitfit):
        biases = {name for name, _ in backbone.named_parameters() if name.split(".")[-1] == "bias"}
        if not biases:
            raise AscentError(f"{where}: a '{backbone.config.model_type}' backbone has no biases to train; take lora.")
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in biases)
        return lambda: backbone
    import peft  # seconds of imports that only a stage with such an adapter needs

    if isinstance(adapter, SoftPrompt):
        ids = soft_token_ids(tokenizer)
        if not ids:
            raise AscentError(f"{where}: the base has no soft tokens to train; set base.soft_tokens.")
        config = peft.TrainableTokensConfig(token_indices=ids)
    else:
        config = peft.LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            use_rslora=adapter.rslora,
            target_modules=_targets(backbone, adapter, where),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tied embeddings, whose other end is not loaded
        return peft.get_peft_model(backbone, config).merge_and_unload


def _targets(backbone: torch.nn.Module, adapter: Lora, where: str) -> list[str]:
    linear = [name for name, module in backbone.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    if adapter.targets == "all-linear":  # only layers have numbers in their names; a pooler takes no part in the embedding
        return [name for name in linear if any(part.isdigit() for part in name.split("."))]
    for target in adapter.targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            known = sorted({name.split(".")[-1] for name in linear})
            raise AscentError(f"{where}.targets: the backbone has no linear layer '{target}'; {did_you_mean(target, known)}")
    return list(adapter.targets)


# ---------------------------------------------------------------- weights in 4 bits


def _to_four_bits(backbone: torch.nn.Module, where: str) -> None:
    """Replace the linear layers by bitsandbytes', which round their weights when they are moved to a GPU."""
    if not torch.cuda.is_available():
        raise AscentError(f"{where}: qlora needs a GPU, and this machine has none; take lora.")
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError:
        raise AscentError(f"{where}: qlora needs bitsandbytes, which envs/gpu.txt has; install it, or take lora.") from None
    for name, module in list(backbone.named_modules()):
        if type(module) is torch.nn.Linear:
            rounded = Linear4bit(module.in_features, module.out_features, bias=module.bias is not None, quant_type="nf4")
            rounded.weight = Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
            rounded.bias = module.bias
            backbone.set_submodule(name, rounded)
    backbone.is_loaded_in_4bit = True  # peft asks


def _from_four_bits(backbone: torch.nn.Module) -> None:
    """Put linear layers with the rounded weights in their place, float32 on the CPU."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for name, module in list(backbone.named_modules()):
        if isinstance(module, Linear4bit):
            module.cuda()
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            plain.weight.data = dequantize_4bit(module.weight.data, module.weight.quant_state).float().cpu()
            if module.bias is not None:
                plain.bias.data = module.bias.data.float().cpu()
            backbone.set_submodule(name, plain)
    backbone.is_loaded_in_4bit = False
