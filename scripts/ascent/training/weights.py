"""The weights of what trains: loaded, sharded over the processes (ZeRO 3), and gathered.

With ZeRO 3 no process holds a second copy of the model, and only the first one a first: it reads the file in the file's
own precision, and each weight is sent, converted and cut into shares by itself. When weights are gathered, the first
process keeps them."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ..collectives import of_first
from ..model.adapters import adapt
from ..model.backbone import load_backbone
from ..model.embedding_model import EmbeddingModel
from ..model.heads import PREFIX, load_heads
from ..model.precision import precision_dtype, token_multiple
from ..settings.stages import StageSettings
from ..settings.training import Training
from .job.distributed import deepspeed


def load_model(parent: Path, settings: StageSettings, device: torch.device) -> tuple[EmbeddingModel, Any]:
    """Return a model folder's model on the CPU, with the stage's dropout, precision and adapter; and its tokenizer."""
    stage, contract = settings.stage, settings.contract
    weights = "float32" if stage.zero < 3 else "stored" if dist.get_rank() == 0 else "none"
    backbone, tokenizer = load_backbone(parent, contract, dropout=stage.dropout, weights=weights)
    heads = load_heads(parent, contract, backbone.config.hidden_size)
    dtype = precision_dtype(stage.precision, device)
    model = EmbeddingModel(backbone, contract, dtype, heads, tokenizer.all_special_ids, token_multiple(stage.precision))
    if stage.adapter:
        adapt(backbone, stage.adapter, tokenizer, f"{settings.where}.adapter", dtype)
    return model, tokenizer


def shard(module: torch.nn.Module, stage: Training, config: dict, device: torch.device) -> None:
    """Replace a module's weights by this process's shares of the first process's, in place. config: DeepSpeed's."""
    buffers = list(module.buffers())
    for mine, first in zip(buffers, of_first(lambda: [buffer.cpu() for buffer in buffers]), strict=True):
        mine.data = first.to(device)
    dtype = getattr(torch, stage.weights)
    for part in reversed(list(module.modules())):  # a part's own weights after those of the parts in it
        if own := [parameter for parameter in part.parameters(recurse=False) if not hasattr(parameter, "ds_id")]:
            for parameter in own:
                parameter.data = parameter.data.to(dtype)
            deepspeed.zero.Init(module=part, config_dict_or_path=config)


def whole_state(engine) -> dict[str, torch.Tensor]:
    """Return the model's weights by name (see heads), float32 on the CPU, as the optimizer holds them: on the first
    process; the others, which take part, keep nothing. Of a part with frozen weights, which bfloat16 would have
    rounded, return only those that train."""
    state: dict[str, torch.Tensor] = {}

    def keep(name: str, tensor: torch.Tensor) -> None:
        if dist.get_rank() == 0:
            state[name] = tensor.detach().to("cpu", torch.float32, copy=True)

    sharded = engine.zero_optimization_stage() == 3
    for prefix, part in (("", engine.module.backbone), (PREFIX, engine.module.heads)):
        named = dict(part.named_parameters(remove_duplicate=False))
        trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        for name, parameter in trained.items():
            if engine.bfloat16_enabled():
                keep(f"{prefix}{name}", deepspeed.utils.safe_get_full_fp32_param(parameter))
                continue
            with deepspeed.zero.GatheredParameters([parameter], enabled=sharded):
                keep(f"{prefix}{name}", parameter)
        if len(trained) == len(named):
            for name in part.state_dict().keys() - named.keys():
                keep(f"{prefix}{name}", part.get_buffer(name))
    return state
