"""The contract of a model that is an embedding model already, as its folder says, and as the catalogue must.

Recipes are read before a model is retrieved, so `contract: own` takes the contract of the catalogue, and each step that
reads the retrieved folder compares. Nothing here imports torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ...errors import AscentError
from ...files import read_json
from ...settings.base import as_written
from ...settings.evaluation import MTEB_TYPES
from ...settings.model import Adoption, Backbone, Contract
from ...settings.mteb_tasks import task_type
from ...settings.validation import check, shown
from ..ending import added_tokens
from ..prompts import named_prompts
from .statements import (
    ENDLESS,
    SIDES,
    differences,
    linear_layer,
    modules_of,
    oddities,
    own_pooling,
    pooling_settings,
    read_optional,
)

# Architectures whose attention a contract may choose.
CAUSAL = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


@dataclass(frozen=True)
class Stated:
    """What a file of a folder says of a key of the contract."""

    key: str
    value: Any
    file: str


def statements(folder: Path) -> Iterator[Stated]:
    """Yield what a folder in sentence-transformers' layout says of each key of its contract, prompts aside."""
    settings, file = pooling_settings(folder)
    if pooling := own_pooling(folder):
        yield Stated("pooling", pooling, file)
    if "include_prompt" in settings:
        yield Stated("pool_prompt", settings["include_prompt"], file)
    if modules := modules_of(folder):
        layer = linear_layer(folder)
        head = {"projection": {"dimension": layer["out_features"], "bias": layer["bias"]}} if layer else {}
        yield Stated("heads", head, "modules.json")
        file = "config_sentence_transformers.json"
        similarity = read_optional(folder, file).get("similarity_fn_name") or "cosine"
        yield Stated("similarity", similarity, file)
        scaled = any(module["type"].endswith(".Normalize") for module in modules)
        yield Stated("normalise", scaled or similarity == "cosine", "modules.json")  # a cosine scales by itself
    if longest := read_optional(folder, "sentence_bert_config.json").get("max_seq_length"):
        yield Stated("max_tokens", longest, "sentence_bert_config.json")
    if side := read_optional(folder, "tokenizer_config.json").get("padding_side"):
        yield Stated("padding", side, "tokenizer_config.json")
    config = read_optional(folder, "config.json")
    if config.get("model_type") in CAUSAL:  # an encoder's cannot be chosen
        made_bidirectional = config.get("is_causal") is False or config.get("use_bidirectional_attention")
        yield Stated("attention", "bidirectional" if made_bidirectional else "causal", "config.json")
    if pooling == "last" and (folder / "tokenizer.json").exists():
        ends = bool(added_tokens(Tokenizer.from_file(str(folder / "tokenizer.json")))[1])
        yield Stated("append_eos", ends, "tokenizer.json")


def own_contract(folder: str | Path) -> dict[str, Any]:
    """Return the contract of a folder, the keys that are not defaults: of one that Ascent made what ascent.json says.

    Raises AscentError if no contract can say what the folder does.
    """
    folder = Path(folder)
    if (folder / "ascent.json").exists():
        values = read_json(folder / "ascent.json")["contract"]
    else:
        values = {stated.key: stated.value for stated in statements(folder)}
        values.setdefault("max_tokens", _capacity(folder) or Contract().max_tokens.longest)
        if prompts := _prompts(folder):
            values["prompts"] = prompts
    contract = check(Contract, values, folder)
    return {"pooling": contract.pooling} | contract.model_dump(mode="json", exclude_defaults=True)


def refuse_others(folder: str | Path, own: Contract) -> None:
    """Raise AscentError if a folder says otherwise than the contract that the catalogue gives its model.

    What it does not say is the catalogue's: prompts that only a model's card names, an end token that only its code
    appends."""
    folder = Path(folder)
    values = own.model_dump(mode="json")
    for stated in statements(folder):
        wanted = own.max_tokens.longest if stated.key == "max_tokens" else values[stated.key]
        if stated.key == "heads":
            wanted = {name: head for name, head in wanted.items() if name == "projection"}
        kept = stated.key == "padding" and wanted is None, stated.key == "append_eos" and wanted
        if stated.value != wanted and not any(kept):
            _refuse(folder, stated.file, stated.key, stated.value, wanted)
    named = named_prompts(own)
    for name, text in _given_prompts(folder).items():
        wanted = own.prompt(SIDES[name], "retrieval") if name in SIDES else named.get(name)
        if text and text != wanted and (name in SIDES or _place(name)):
            _refuse(folder, "config_sentence_transformers.json", f"the prompt '{name}'", text, wanted)


def overrides(model: str, own: Contract, contract: Contract) -> list[str]:
    """Return a sentence for each key of a model's own contract that a recipe sets otherwise, with both values."""
    theirs, ours = own.model_dump(mode="json"), contract.model_dump(mode="json")
    return [
        f"model '{model}': its own contract has {key}: {shown(theirs[key])}, but the recipe {shown(ours[key])}."
        for key in Contract.model_fields
        if theirs[key] != ours[key]
    ]


def told(folder: str | Path, backbone: Backbone | Adoption, tokenizer: Tokenizer) -> list[str]:
    """Return what a user should know of a folder that a recipe uses: where the two differ, each with both values.

    tokenizer: the folder's, as the recipe has it. Raises AscentError if the folder differs from the contract that the
    catalogue says is its own."""
    if backbone.contract is None:
        found = differences(folder, backbone)
    else:
        refuse_others(folder, backbone.contract)
        found = overrides(Path(folder).name, backbone.contract, backbone)
    return [*found, *oddities(folder, backbone, tokenizer)]


def _refuse(folder: Path, file: str, key: str, value: Any, wanted: Any) -> None:
    raise AscentError(
        f"{folder / file}: says {key}: {shown(value)}, but its contract in the catalogue has {shown(wanted)}; write"
        f" what the folder says, models.{folder.name}.contract: {as_written(own_contract(folder))}"
    )


def _capacity(folder: Path) -> int | None:
    """Return the most tokens that a folder's tokenizer and backbone take, where they say so."""
    most = [read_optional(folder, "tokenizer_config.json").get("model_max_length")]
    most.append(read_optional(folder, "config.json").get("max_position_embeddings"))
    return min((int(each) for each in most if each and each < ENDLESS), default=None)


def _given_prompts(folder: Path) -> dict[str, str]:
    return read_optional(folder, "config_sentence_transformers.json").get("prompts") or {}


def _place(name: str) -> tuple[str, str] | None:
    """Return the side and the key of `prompts` that a prompt's name stands for; None if mteb looks up no such name."""
    if name in SIDES:
        return SIDES[name], "retrieval"
    stem, _, side = name.rpartition("-")
    stem, side = (stem, side) if side in ("query", "document") else (name, "query")
    types = {kind: task for task, kinds in MTEB_TYPES.items() for kind in kinds}
    key = types.get(stem) or (stem if task_type(stem) else None)
    return (side, key) if key else None


def _prompts(folder: Path) -> dict[str, dict[str, str]]:
    """Return a folder's prompts by side and task; those of names that mteb does not look up are left out, and told
    where the folder is adopted."""
    prompts: dict[str, dict[str, str]] = {}
    given = _given_prompts(folder)
    default = given.get(read_optional(folder, "config_sentence_transformers.json").get("default_prompt_name") or "")
    for name, text in given.items():
        if (text or default) and (place := _place(name)):
            prompts.setdefault(place[0], {}).setdefault(place[1], text)
    for side in ("query", "document") if default else ():
        prompts.setdefault(side, {}).setdefault("default", default)
    return prompts
