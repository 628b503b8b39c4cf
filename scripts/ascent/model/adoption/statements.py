"""What a retrieved model folder itself says of its use, compared with a recipe. Nothing here imports torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ...files import read_json
from ...settings.model import Contract
from ..ending import added_tokens, unlimited
from ..prompts import every_prompt
from .intact import tensor_shapes, weight_files

# Names of poolings in sentence-transformers and here, and in its older folders.
_POOLINGS = {"lasttoken": "last", "weightedmean": "weighted_mean"}
OLDER_POOLINGS = {
    "mean_tokens": "mean",
    "cls_token": "cls",
    "lasttoken": "last",
    "weightedmean_tokens": "weighted_mean",
}
OLDER_POOLINGS |= {"max_tokens": "max", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens"}
# The side of a prompt by its name: encode_query and encode_document look for these.
SIDES = {"query": "query", "document": "document", "passage": "document", "corpus": "document"}
# What transformers writes where a tokenizer has no maximum.
ENDLESS = 10**9
_POSITIONS = ("position_embeddings.weight", "wpe.weight")


def differences(folder: str | Path, contract: Contract) -> list[str]:
    """Return a sentence for each thing that a folder says otherwise than the contract, with both values."""
    where = f"model '{Path(folder).name}'"
    return [
        f"{where}: {file} says {key}: {own!r}, but the recipe has {wanted!r}."
        for key, own, wanted, file in _statements(Path(folder), contract)
        if own != wanted
    ]


def oddities(folder: str | Path, contract: Contract, tokenizer: Tokenizer) -> list[str]:
    """Return a sentence for an end token that pooling lacks, for capitals that sentence-transformers would lower, and
    for a side of the padding that is changed. tokenizer: the folder's, as the contract has it."""
    where, told = f"model '{Path(folder).name}'", []
    if contract.pooling == "last" and not contract.append_eos and not added_tokens(tokenizer)[1]:
        told.append(
            f"{where}: pooling: last takes the state of a text's last token, and its tokenizer appends no end token;"
            " set append_eos: true, unless the model was trained without."
        )
    if read_optional(Path(folder), "sentence_bert_config.json").get("do_lower_case"):
        with unlimited(tokenizer):
            capitals, small = (tokenizer.encode(text).ids for text in ("An Old Word", "an old word"))
        if capitals != small:
            told.append(
                f"{where}: sentence_bert_config.json says do_lower_case: true, but its tokenizer tells capitals apart,"
                " and texts are read as they are; lower them in the tokenizer's normalizer if the model learned from"
                " lower case."
            )
    return [*told, *_padding(Path(folder), contract, where)]


def own_pooling(folder: str | Path) -> str | None:
    """Return the pooling that a folder in sentence-transformers' layout was made with, under the contract's name if it
    has one; None if the folder does not say."""
    settings, _ = pooling_settings(Path(folder))
    names = settings.get("pooling_mode") or [
        name for key, name in OLDER_POOLINGS.items() if settings.get(f"pooling_mode_{key}")
    ]
    return " and ".join(_POOLINGS.get(name, name) for name in ([names] if isinstance(names, str) else names)) or None


def _statements(folder: Path, contract: Contract) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield key, the folder's value, the contract's, and the file that says so."""
    pooling, file = pooling_settings(folder)
    if own := own_pooling(folder):
        yield "pooling", own, contract.pooling, file
    if "include_prompt" in pooling:
        yield "pool_prompt", pooling["include_prompt"], contract.pool_prompt, file
    file = "config_sentence_transformers.json"
    settings = read_optional(folder, file)
    if own := settings.get("similarity_fn_name"):
        yield "similarity", own, contract.similarity, file
    for name, text in (settings.get("prompts") or {}).items():
        if text and name in SIDES:
            yield f"the prompt '{name}'", text, contract.prompt(SIDES[name], "retrieval"), file
        elif text and text not in every_prompt(contract):
            yield f"the prompt '{name}'", text, None, file
    yield from _length(folder, contract)


def _length(folder: Path, contract: Contract) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield what a folder says of the maximum length. A tokenizer alone says what the backbone can take, not how long
    the texts were that it learned from, so only more than that is a difference."""
    own = read_optional(folder, "sentence_bert_config.json").get("max_seq_length")
    if own:
        yield "max_tokens", own, contract.max_tokens.longest, "sentence_bert_config.json"
        return
    own = read_optional(folder, "tokenizer_config.json").get("model_max_length") or ENDLESS
    if own < ENDLESS and ((folder / "modules.json").exists() or own < contract.max_tokens.longest):
        yield "max_tokens", own, contract.max_tokens.longest, "tokenizer_config.json"


def _padding(folder: Path, contract: Contract, where: str) -> Iterator[str]:
    if read_optional(folder, "tokenizer_config.json").get("padding_side") != "left" or contract.padding:
        return
    names = (name for file in weight_files(folder) for name in tensor_shapes(file))
    if any(name.endswith(_POSITIONS) for name in names):
        yield (
            f"{where}: tokenizer_config.json says padding_side: 'left', but is saved with 'right', because its"
            " positions are learned and padding on the left would shift them."
        )


def pooling_settings(folder: Path) -> tuple[dict, str]:
    """Return the settings of a folder's pooling and their file's name; empty without one."""
    modules = read_optional(folder, "modules.json") or []
    paths = [module["path"] for module in modules if module["path"].endswith("_Pooling")]
    file = f"{paths[0]}/config.json" if paths else ""
    return (read_json(folder / file), file) if paths else ({}, "")


def modules_of(folder: str | Path) -> list[dict[str, Any]]:
    """Return what modules.json lists; empty without one.

    The only linear layer, right after the pooling, has the name of the head that it is: `projection`.
    """
    file = Path(folder) / "modules.json"
    modules = read_json(file) if file.exists() else []
    place = _linear(Path(folder), modules)
    return [module | ({"name": "projection"} if index == place else {}) for index, module in enumerate(modules)]


def linear_layer(folder: str | Path) -> dict[str, Any] | None:
    """Return the settings of the layer that is a projection; None without one."""
    found = [module for module in modules_of(folder) if module["name"] == "projection"]
    return read_json(Path(folder) / found[0]["path"] / "config.json") if found else None


def _linear(folder: Path, modules: list[dict[str, Any]]) -> int | None:
    """Return which module is a linear layer without an activation, right after the pooling, and the only Dense."""
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    if kinds.count("Dense") != 1 or "Pooling" not in kinds or kinds.index("Dense") != kinds.index("Pooling") + 1:
        return None
    index = kinds.index("Dense")
    path = folder / modules[index]["path"] / "config.json"
    settings = read_json(path) if path.exists() else {}
    plain = settings.get("activation_function", "").endswith(".Identity")
    return index if plain and settings.get("module_input_name", "sentence_embedding") == "sentence_embedding" else None


def read_optional(folder: Path, name: str) -> Any:
    """Return the contents of a folder's JSON file; nothing without one."""
    return read_json(folder / name) if (folder / name).exists() else {}
