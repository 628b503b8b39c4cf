"""An adapter as it was retrieved, merged into the weights of the model that it adapts."""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForTextEncoding

from ..errors import AscentError
from .adoption.intact import ADAPTER, check_files, refuse_pointers, tensor_shapes
from .adoption.loading import load_tokenizer, load_weights
from .backbone import ENCODERS_OF_TWO

WEIGHTS = "adapter_model.safetensors"
# A folder with one of these has a tokenizer of its own.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def merge_adapter(folder: Path, base: Path) -> None:
    """Turn a folder with an adapter of peft into one with the whole model: the weights of the folder `base`, with the
    adapter merged (float32), and its tokenizer if the adapter brings none.

    Raises AscentError if a file is missing or damaged, or the adapter does not fit that model as a whole.
    """
    import peft  # takes seconds to import, and only adapters need it

    refuse_pointers(folder)
    for name in (ADAPTER, WEIGHTS):
        if not (folder / name).exists():
            raise AscentError(
                f"{folder}: has no {name}, but adapter_of says that it is an adapter; fix the source or remove the key."
            )
    tensor_shapes(folder / WEIGHTS)
    config = check_files(base)
    automatic = AutoModelForTextEncoding if config.get("model_type") in ENCODERS_OF_TWO else AutoModel
    model = load_weights(automatic, base, config, pooler=False, dtype=torch.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tied embeddings, whose other end is not loaded
            adapted = peft.get_peft_model(model, peft.PeftConfig.from_pretrained(folder))
        missing, unknown = peft.set_peft_model_state_dict(
            adapted, _named(load_file(folder / WEIGHTS), model.base_model_prefix)
        )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AscentError(
            f"{folder}: the adapter does not fit {base} ({reason}); name what it adapts in adapter_of."
        ) from None
    odd = [*unknown, *(name for name in missing if ".default" in name)]
    if odd:
        raise AscentError(
            f"{folder}: {odd[0]} is a weight of the adapter or of {base} adapted by it, but not of both; name what it"
            " adapts in adapter_of."
        )
    merged = adapted.merge_and_unload()
    if not any((folder / name).exists() for name in VOCABULARIES):
        load_tokenizer(base, model.get_input_embeddings().num_embeddings).save_pretrained(folder)
    for file in [folder / ADAPTER, *folder.glob("*.safetensors*")]:
        file.unlink()
    merged.save_pretrained(folder)


def _named(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return an adapter's weights by the names in the backbone alone: trained with a head for another task, they begin
    with the backbone's name there."""
    outer, inner = "base_model.model.", f"base_model.model.{prefix}."
    return {
        outer + name.removeprefix(inner) if name.startswith(inner) else name: tensor for name, tensor in state.items()
    }
