"""The embedding model: a transformers backbone with a pooling head, and its folder in sentence-transformers' layout."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from .contract import tokenizer_digest, weights_digest, write_contract
from .errors import AscentError
from .settings import Contract

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Reduce token states (rows, tokens, dimension) to (rows, dimension) float32, over the tokens where mask is 1."""
    states = states.float()
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    if pooling == "cls":  # the first real token, wherever padding stands
        index = positions.masked_fill(mask == 0, mask.shape[1]).argmin(1)
    else:
        index = positions.masked_fill(mask == 0, -1).argmax(1)
    return states[torch.arange(len(states), device=states.device), index]


class EmbeddingModel(torch.nn.Module):
    """Token ids (rows, tokens) in, embeddings (rows, dimension) float32 out, of length 1 when the contract says so."""

    def __init__(self, backbone: torch.nn.Module, contract: Contract, dtype: torch.dtype | None = None):
        """`dtype`: what the backbone's matrix products are computed in; None for its weights' float32."""
        super().__init__()
        self.backbone = backbone
        self.contract = contract
        self.dtype = dtype

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        # Autocast stands here and not round the training step because DeepSpeed switches off one that it did not configure.
        with torch.autocast(input_ids.device.type, self.dtype, enabled=self.dtype is not None):
            states = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        embeddings = pool(states, attention_mask, self.contract.pooling)
        return torch.nn.functional.normalize(embeddings, dim=-1) if self.contract.normalise else embeddings


def load_backbone(folder: str | Path, contract: Contract, *, dropout: float | None = None) -> tuple[torch.nn.Module, Any]:
    """Load a backbone (float32) and its tokenizer. Only safetensors are read, and no code of the folder is run.

    dropout: replaces the backbone's own.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise AscentError(f"{folder}: holds no config.json, so it is no model folder; check the model's source.")
    # On a CPU torch's fused attention is slower than plain matrix products: by a fifth forward, by half backward.
    options = {} if torch.cuda.is_available() else {"attn_implementation": "eager"}
    if dropout is not None:
        known = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "dropout_rate", "dropout",
                 "embedding_dropout", "mlp_dropout")  # fmt: skip
        config = json.loads((folder / "config.json").read_text())
        options |= {key: dropout for key in known if key in config}
    weights_digest(folder)  # refuses a folder without safetensors
    backbone = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **options)
    if contract.attention != natural_attention(backbone):
        raise AscentError(
            f"{folder}: this backbone attends {natural_attention(backbone)}ly, the recipe says '{contract.attention}'; "
            "changing it is not supported yet."
        )
    longest = longest_input(backbone)
    if longest is not None and contract.max_tokens > longest:
        raise AscentError(
            f"{folder}: takes at most {longest} tokens, but max_tokens is {contract.max_tokens}; lower it in the recipe."
        )
    return backbone, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def longest_input(backbone: torch.nn.Module) -> int | None:
    """Return how many tokens a backbone has positions for; None where positions are computed and not learned."""
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa's family counts positions from behind its padding's.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None


def natural_attention(backbone: torch.nn.Module) -> str:
    """Return 'causal' for decoders, 'bidirectional' for encoders, as the first attention layer says."""
    for module in backbone.modules():
        if hasattr(module, "is_causal"):
            return "causal" if module.is_causal else "bidirectional"
    return "bidirectional"


def precision_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype to autocast to, or None for float32. `auto` is bfloat16 where the processor computes in it."""
    if precision == "float32":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    # torch 2.10, of the GPU environment, lacks `get_capabilities`. CPUs with AMX's bfloat16 have AVX-512's too.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None


def prompt_name(side: str, task: str) -> str:
    """Return the name of a prompt in sentence-transformers: retrieval's is what `encode_query` and `encode_document` use."""
    return side if task == "retrieval" else f"{side}-{task}"


def sentence_transformers_prompts(contract: Contract) -> dict[str, str]:
    """Return the contract's prompts by the names that sentence-transformers finds them by."""
    named = {(side, task) for side, tasks in contract.prompts.items() for task in tasks}
    wanted = sorted(named | {("query", "retrieval"), ("document", "retrieval")})
    return {prompt_name(side, task): contract.prompt(side, task) for side, task in wanted}


def save_new(resource: Path, contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder for a backbone as it was retrieved, by sentence-transformers' own modules."""
    from sentence_transformers import SentenceTransformer  # 2 s of imports that only this step needs
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(resource), max_seq_length=contract.max_tokens)
    pooling = {"last": "lasttoken"}.get(contract.pooling, contract.pooling)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling)]
    if contract.normalise:
        modules.append(Normalize())
    model = SentenceTransformer(
        modules=modules,
        prompts=sentence_transformers_prompts(contract),
        similarity_fn_name=contract.similarity,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def save_like(parent: Path, state: dict[str, torch.Tensor], contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder with new weights: the parent's files, `state` as its weights, the contract's prompts.

    `state` holds the backbone's tensors by name, float32.
    """
    from safetensors.torch import save_file

    shutil.copytree(parent, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors*", "ascent.json"))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    settings["prompts"] = sentence_transformers_prompts(contract)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True))
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def check_tokenizer(tokenizer, expected_digest: str, folder: str | Path) -> None:
    """Refuse a tokenizer that is not the one that a model was trained with."""
    if tokenizer_digest(tokenizer) != expected_digest:
        raise AscentError(f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model.")
