"""A transformers backbone: loaded, its attention, positions and dropout."""

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

from ..errors import AscentError
from ..settings.model import Contract
from .adoption.intact import check_files
from .adoption.loading import load_tokenizer, load_weights
from .ending import append_end
from .packing import NAME, PACKED, is_packed, is_to_pack, limit_position_bias
from .unloaded import stored_dtype, without_weights

# Of these encoder-decoders AutoModel would load both parts.
ENCODERS_OF_TWO = ("t5", "mt5", "umt5")
# Names of dropout rates in configurations.
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "dropout_rate", "dropout",
            "embedding_dropout", "mlp_dropout", "hidden_dropout", "embed_dropout", "resid_dropout",
            "embd_pdrop", "attn_pdrop", "resid_pdrop")  # fmt: skip


def load_backbone(
    folder: str | Path,
    contract: Contract,
    *,
    dropout: float | None = None,
    weights: Literal["float32", "stored", "none"] = "float32",
) -> tuple[torch.nn.Module, Any]:
    """Load a backbone and its tokenizer. Only safetensors are read, and no code of the folder is run.

    Raises AscentError unless the folder is whole and holds what its config.json says (intact.py, adoption.py). The
    backbone's attention is the contract's; of an encoder-decoder (T5) only the encoder is loaded. dropout: replaces the
    backbone's own. weights: as float32, as the folder stores them, or none, see unloaded.py.
    """
    folder = Path(folder)
    config = check_files(folder)
    kind = config.get("model_type")
    options: dict[str, Any] = {}
    if is_to_pack(kind):
        options["attn_implementation"] = NAME
    elif not torch.cuda.is_available():
        # On a CPU torch's fused attention is slower than plain matrix products: by 20 % forward, by 50 % backward.
        options["attn_implementation"] = "eager"
    if dropout is not None:
        words = AutoConfig.from_pretrained(
            folder, trust_remote_code=False
        ).to_dict()  # including those that config.json omits
        options |= {key: dropout for key in DROPOUTS if key in words}
        if dropout and not options.keys() & set(DROPOUTS):
            raise AscentError(
                f"{folder}: dropout is {dropout}, but this backbone has no such setting; remove it from the stage."
            )
    automatic = AutoModelForTextEncoding if kind in ENCODERS_OF_TWO else AutoModel
    if weights == "none":
        backbone = without_weights(automatic, folder, **options)
    else:
        dtype = torch.float32 if weights == "float32" else stored_dtype(folder)
        backbone = load_weights(automatic, folder, config, pooler=False, dtype=dtype, **options)
    backbone.config.use_cache = False  # nothing is generated, so keys and values are not kept
    set_attention(backbone, contract.attention, folder)
    if is_packed(backbone):
        limit_position_bias(backbone, contract.max_tokens.longest)
    longest = longest_input(backbone)
    if longest is not None and contract.max_tokens.longest > longest:
        raise AscentError(
            f"{folder}: takes at most {longest} tokens, but max_tokens is {contract.max_tokens}; write at most"
            f" max_tokens: {longest} where the recipe names this model, whose default may be more."
        )
    tokenizer = load_tokenizer(folder, backbone.get_input_embeddings().num_embeddings)
    if contract.append_eos:
        append_end(tokenizer.backend_tokenizer, tokenizer.eos_token, folder)
    set_padding_side(tokenizer, backbone, contract.padding, folder)
    return backbone, tokenizer


def set_attention(backbone: torch.nn.Module, attention: str, folder: str | Path) -> None:
    """Make a backbone attend in the contract's direction. A causal one is made bidirectional by a setting in its
    configuration.

    transformers reads `is_causal` there, for the mask and for every kind of attention, so a saved folder needs none of
    our code.
    """
    if attention == natural_attention(backbone):
        return
    if attention == "causal":
        raise AscentError(
            f"{folder}: this backbone attends bidirectionally, which cannot be changed; set attention:"
            " bidirectional, of a trial's model trial.attention."
        )
    if backbone.config.model_type not in PACKED:
        raise AscentError(
            f"{folder}: this backbone attends causally, and a '{backbone.config.model_type}' model is not known to"
            " become bidirectional; set attention: causal, of a trial's model trial.attention."
        )
    backbone.config.is_causal = False


def set_padding_side(tokenizer: Any, backbone: torch.nn.Module, side: str | None, folder: str | Path) -> None:
    """Make a tokenizer pad on a side; by default on its own.

    With learned positions it is the right one, since transformers counts positions from the padding on. Raises
    AscentError if the left one is asked for."""
    learned = position_table(backbone) is not None
    if learned and side == "left":
        raise AscentError(
            f"{folder}: padding: left would shift this backbone's positions, which are learned; set padding: right."
        )
    side = "right" if learned else side or tokenizer.padding_side
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = side  # saved with the latter only


def first_position(backbone: torch.nn.Module) -> int:
    """Return the index of a row's first position: RoBERTa's family counts from the one after the padding's."""
    table = position_table(backbone)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def has_dropout(backbone: torch.nn.Module) -> bool:
    """Return whether a backbone has dropout."""
    modules = (
        module.p for module in backbone.modules() if isinstance(module, torch.nn.Dropout)
    )  # an adapter's included
    return any(modules) or any(getattr(backbone.config, key, None) for key in DROPOUTS)


def longest_input(backbone: torch.nn.Module) -> int | None:
    """Return how many tokens a backbone has positions for; None if positions are computed, not learned."""
    table = position_table(backbone)
    return None if table is None else table.num_embeddings - first_position(backbone)


def position_table(backbone: torch.nn.Module) -> torch.nn.Embedding | None:
    """Return a backbone's learned positions."""
    for name, module in backbone.named_modules():
        if name.endswith(("position_embeddings", "wpe")) and isinstance(module, torch.nn.Embedding):
            return module
    return None


def natural_attention(backbone: torch.nn.Module) -> str:
    """Return 'causal' for decoders, 'bidirectional' for encoders and for decoders whose configuration makes them so."""
    for module in backbone.modules():
        if hasattr(module, "is_causal"):
            return "causal" if module.is_causal and getattr(backbone.config, "is_causal", True) else "bidirectional"
    return "bidirectional"
