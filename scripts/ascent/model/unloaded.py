"""A backbone's weights as they are stored, or memory for them that nothing has touched."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig
from transformers.initialization import no_init_weights


def stored_dtype(folder: Path) -> torch.dtype:
    """Return the widest floating-point type among a model folder's weights; config.json may say another."""
    kinds = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            kinds |= {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (it is not a dict)
    if kinds <= {"BF16"} or kinds <= {"F16"}:
        return torch.bfloat16 if "BF16" in kinds else torch.float16
    return torch.float32  # which holds both


def without_weights(automatic: Any, folder: Path, **options: Any) -> torch.nn.Module:
    """Return a folder's backbone with weights whose memory is only reserved: what another process will send takes its
    place.

    automatic, options: transformers' automatic class, and what its from_pretrained is given.
    """
    attention = {key: options.pop(key) for key in ("attn_implementation",) if key in options}
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    with no_init_weights():
        backbone = automatic.from_config(config, dtype=torch.float32, trust_remote_code=False, **attention)
    backbone.tie_weights()
    return backbone.eval()
