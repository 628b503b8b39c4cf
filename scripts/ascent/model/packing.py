"""Rows of tokens in one packed row, without padding, and the attention that keeps them apart.

The lengths travel as arguments through the model's layers to the attention, so they are there again when activation
checkpointing computes a layer a second time.
"""

from itertools import groupby
from types import MethodType

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "ascent_packed"
# The architectures (`model_type`) whose packed states tests/model/test_packing.py compares with padded ones; others are
# padded.
PACKED = ("bert", "roberta", "xlm-roberta", "modernbert", "llama", "mistral", "qwen2", "qwen3", "gemma3_text", "t5")
# Those that add a bias to the scores, which no kernel for packed rows takes.
BIASED = ("t5",)
# What torch's flash attention takes: this compute capability and newer, and heads of at most this dimension.
CAPABILITY, WIDEST_HEAD = (8, 0), 256


def is_to_pack(kind: str | None) -> bool:
    """Return whether an architecture is packed on this machine: on a GPU only if torch's flash attention runs there."""
    gpu = torch.cuda.is_available()
    return kind in PACKED and not (gpu and (kind in BIASED or torch.cuda.get_device_capability() < CAPABILITY))


def attention_in_words(backbone: torch.nn.Module, device: torch.device, dtype: torch.dtype | None) -> str:
    """Return which attention a backbone uses, and whether its rows are packed. dtype: that of its matrix products, None
    for float32."""
    kind, chosen = backbone.config.model_type, backbone.config._attn_implementation
    if is_packed(backbone):
        half = dtype in (torch.float16, torch.bfloat16)
        kernel = "torch's flash attention" if device.type == "cuda" and half else "one product per length"
        return f"rows packed, without padding; {kernel}"
    if kind not in PACKED:
        why = f"'{kind}' is not known to be packed"
    elif kind in BIASED:
        why = f"no kernel for packed rows takes the position bias of '{kind}'"
    else:
        why = f"{torch.cuda.get_device_name()} lacks flash attention"
    return f"rows padded, since {why}; transformers' {chosen}"


def limit_position_bias(backbone: torch.nn.Module, longest: int) -> None:
    """Let T5 compute the bias of `longest` positions, which all texts share, and not of all tokens of a packed row."""

    def limited(module, queries, keys, **more):
        return type(module).compute_bias(module, min(queries, longest), min(keys, longest), **more)

    for module in backbone.modules():
        if getattr(module, "has_relative_attention_bias", False):
            module.compute_bias = MethodType(limited, module)  # a method, so that a copy of the module computes its own


def is_packed(backbone: torch.nn.Module) -> bool:
    """Return whether a backbone was loaded with the packed attention."""
    return backbone.config._attn_implementation == NAME


def reach(module: torch.nn.Module, is_causal: bool | None, window: int | None) -> tuple[int, int]:
    """Return how many tokens to its left and to its right a token attends to, -1 for all of them.

    As transformers' masks have it, `window` counts the token itself, except in a causal model made bidirectional
    (masking_utils.sliding_window_bidirectional_overlay).
    """
    causal = module.is_causal if is_causal is None else is_causal
    if window is None:
        return (-1, 0) if causal else (-1, -1)
    if causal:
        return (window - 1, 0)
    return (window, window) if module.is_causal else (window - 1, window - 1)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    cumulative: torch.Tensor,
    longest: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    position_bias: torch.Tensor | None = None,
    **_,
) -> tuple[torch.Tensor, None]:
    """Attention among the tokens of each row, of tensors (1, heads, tokens, dimension): (1, tokens, heads,
    dimension)."""
    if torch.is_autocast_enabled(query.device.type):  # norms and rotations leave query and key in float32
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    sides = reach(module, is_causal, sliding_window)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    half = query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] <= WIDEST_HEAD
    if query.device.type != "cpu" and half and position_bias is None:
        out = flash_attention(query, key, value, cumulative, longest, sides, scale, dropout)
    else:
        out = attend_by_length(query, key, value, cumulative.diff().tolist(), sides, scale, dropout, position_bias)
    return out[None], None


def flash_attention(
    query, key, value, cumulative: torch.Tensor, longest: int, sides: tuple[int, int], scale: float, dropout: float
) -> torch.Tensor:
    """Attention by torch's flash kernel, of 16-bit tensors (tokens, heads, dimension) on a GPU; the heads of keys and
    values may be fewer.

    This is the call that torch's attention of jagged tensors makes (torch/nested/_internal/sdpa.py). torch's public
    varlen_attn has no dropout and, before torch 2.12, neither scale nor windows.
    """
    width = query.shape[-1]
    query, key, value = (torch.nn.functional.pad(x, (0, -width % 8)) for x in (query, key, value))
    left, right = (side if side >= 0 else None for side in sides)
    ends = (cumulative, cumulative, longest, longest)
    windows = {"window_size_left": left, "window_size_right": right}
    out = torch.ops.aten._flash_attention_forward(
        query, key, value, *ends, dropout, right == 0, False, scale=scale, **windows
    )[0]
    return out[..., :width]


def attend_by_length(
    query,
    key,
    value,
    lengths: list[int],
    sides: tuple[int, int],
    scale: float,
    dropout: float,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """The same on any device and in any dtype, of tensors (tokens, heads, dimension): neighbours of one length at a
    time.

    bias: (1, heads, longest, longest) or more, added to the scores.

    MiniLM, mini-batches of 2,048 tokens of neighbours in length, forward and backward on two cores in bfloat16: padded
    3,370 tokens/s; so, with torch's fused attention 2,620, with plain matrix products 3,470. In float32: 1,930, 2,090,
    2,080.
    """
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    out, start = [], 0
    for length, run in groupby(lengths):
        stop = start + length * len(list(run))
        q, k, v = (x[start:stop].unflatten(0, (-1, length)).transpose(1, 2) for x in (query, key, value))
        left, right = (length if side < 0 else side for side in sides)
        seen = None if bias is None else bias[:, :, :length, :length].to(q.dtype)
        if min(left, right) < length - 1:
            position = torch.arange(length, device=q.device)
            distance = position - position[:, None]
            seen = (distance >= -left) & (distance <= right)
        if q.is_cuda:
            attended = scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout, scale=scale)
        else:
            attended = _attend(q, k, v, seen, scale, dropout)
        out.append(attended.transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(out)


def _attend(q, k, v, seen: torch.Tensor | None, scale: float, dropout: float) -> torch.Tensor:
    """scaled_dot_product_attention in plain matrix products. seen: which pairs are (bool), or what is added to their
    scores."""
    scores = q @ k.transpose(2, 3) * scale
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
    return torch.dropout(scores.softmax(-1), dropout, train=dropout > 0) @ v


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, lambda **_: None)
