"""Model folders written in the layout of sentence-transformers."""

from collections import OrderedDict
from pathlib import Path

import torch
from transformers import AutoTokenizer

from ..errors import AscentError
from ..files import copy_folder
from ..settings.model import Contract
from .adoption.loading import set_padding
from .backbone import set_attention, set_padding_side
from .contract import tokenizer_digest, write_contract
from .ending import append_end
from .exchange import write_exchange
from .heads import adopt_heads, write_state


def save_new(resource: Path, contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder for a backbone as it was retrieved, by sentence-transformers' own modules.

    Raises AscentError when a head does not fit the backbone.
    """
    from sentence_transformers import SentenceTransformer  # takes 2 s to import, and only this step needs it
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for a pooler that the folder lacks, so that the folder made is the same each time
        transformer = Transformer(str(resource), max_seq_length=contract.max_tokens.longest)
    set_padding(transformer.tokenizer, resource)
    set_padding_side(transformer.tokenizer, transformer.model, contract.padding, resource)
    if contract.append_eos:
        append_end(transformer.tokenizer.backend_tokenizer, transformer.tokenizer.eos_token, resource)
    set_attention(transformer.model, contract.attention, resource)
    pooling = {"last": "lasttoken", "weighted_mean": "weightedmean"}.get(contract.pooling, contract.pooling)
    width = transformer.get_embedding_dimension()
    heads = adopt_heads(resource, contract, width)
    before, behind = (
        [(name, head) for name, head in heads.items() if head.module_input_name == place]
        for place in ("token_embeddings", "sentence_embedding")
    )
    modules = [(None, transformer), *before, (None, Pooling(width, pooling, contract.pool_prompt)), *behind]
    if contract.normalise:
        modules.append((None, Normalize()))
    model = SentenceTransformer(
        modules=OrderedDict((name or str(index), module) for index, (name, module) in enumerate(modules)),
        similarity_fn_name=contract.similarity,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    write_exchange(folder, contract)
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def save_like(parent: Path, state: dict[str, torch.Tensor], contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder with new weights: the parent's files, `state` as its weights, the contract's prompts.

    `state` holds all tensors by name (see heads), float32.
    """
    copy_folder(parent, folder, "*.safetensors*", "ascent.json")
    write_state(folder, state, contract)
    write_exchange(folder, contract)
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def check_tokenizer(tokenizer, expected_digest: str, folder: str | Path) -> None:
    """Raise AscentError if a tokenizer is not the one that a model was trained with."""
    if tokenizer_digest(tokenizer) != expected_digest:
        raise AscentError(
            f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model."
        )
