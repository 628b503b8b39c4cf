"""Heads, one module each, named as recipes name them, each with a function of the same name:

    <name>(width, **settings)    return a new head for vectors of `width` dimensions

`settings` are those of settings/heads.py. A head is a module of sentence-transformers, which runs the same layers when
it loads the model. It maps vectors one by one, those at `module_input_name` of its features: "token_embeddings", (...,
dimension), for a head before the pooling, "sentence_embedding", (rows, dimension), for one after it. The output of a
token-level head is under `module_output_name`, and the states stay unchanged.

In a model folder each head has the folder that modules.json gives under its name. In a state, a model's weights by
name, those of a head begin with "heads.<name>.".
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ...components import code_of
from ...errors import AscentError
from ...settings.model import Contract
from ..adoption.statements import modules_of

PREFIX = "heads."
FILE = "model.safetensors"


def new_heads(contract: Contract, width: int) -> torch.nn.ModuleDict:
    """Return a contract's heads for a backbone of `width` dimensions, the same weights each time.

    Raises AscentError if a head does not fit the backbone.
    """
    heads = torch.nn.ModuleDict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, settings in contract.heads.chosen.items():
            try:
                heads[name] = code_of(settings)(width, **settings.model_dump())
            except ValueError as error:
                raise AscentError(f"base.heads.{name}: {error}.") from None
            width = width if settings.per_token else heads[name].get_embedding_dimension()
    return heads


def load_heads(folder: str | Path, contract: Contract, width: int) -> torch.nn.ModuleDict:
    """Return the heads of a model folder with a backbone of `width` dimensions. No code of the folder is run.

    Raises AscentError if the folder lacks a head of the contract, or has it in another shape.
    """
    heads, paths = new_heads(contract, width), module_paths(folder)
    for name, head in heads.items():
        if name not in paths:
            raise AscentError(
                f"{folder}: has no head '{name}'; remove it from the recipe's heads, or rebuild the model."
            )
        _load(head, Path(folder) / paths[name] / FILE)
    return heads


def adopt_heads(resource: Path, contract: Contract, width: int) -> torch.nn.ModuleDict:
    """Return the heads for a retrieved backbone: those that the folder has under the same name, and new ones for the
    rest.

    Raises AscentError if the folder has a layer that would be lost.
    """
    refuse_others(resource, contract)
    heads, paths = new_heads(contract, width), module_paths(resource)
    for name in heads.keys() & paths.keys():
        _load(heads[name], resource / paths[name] / FILE)
    return heads


def refuse_others(resource: str | Path, contract: Contract) -> None:
    """Raise AscentError if a retrieved folder has a layer that the contract's heads do not name, or one of code that it
    brings along, which would be lost."""
    for module in modules_of(resource):
        name, kind, path = module["name"], module["type"], module["path"]
        kept = kind.startswith("sentence_transformers.") and kind.split(".")[-1] in (
            "Transformer",
            "Pooling",
            "Normalize",
        )
        if name not in contract.heads.chosen and not kept:
            raise AscentError(
                f"{Path(resource) / 'modules.json'}: the model has a layer ({path or kind}) that the recipe's heads do"
                f" not name, which would be lost; name it, heads.{name}, if Ascent made it, or remove it from"
                " modules.json."
            )


def _load(head: torch.nn.Module, path: Path) -> None:
    if not path.exists():
        raise AscentError(f"{path}: is missing, and pickled weights are never loaded; convert them to safetensors.")
    state, wanted = load_file(path), head.state_dict()
    odd = sorted({(name, *tensor.shape) for name, tensor in state.items()} ^ {(n, *t.shape) for n, t in wanted.items()})
    if odd:
        raise AscentError(
            f"{path}: '{odd[0][0]}' is missing, or its shape differs from the recipe's heads; fix the recipe."
        )
    head.load_state_dict(state)


def through(heads: torch.nn.ModuleDict, place: str, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return vectors under their place, `token_embeddings` or `sentence_embedding`, after the heads at that place, and
    the outputs of token-level heads."""
    features = {place: vectors}
    for head in heads.values():
        if head.module_input_name == place:
            features = head(features | {place: features[place].to(next(head.parameters()).dtype)})
    return features


def module_paths(folder: str | Path) -> dict[str, str]:
    """Return the folders of a model folder's modules by name; empty without modules.json."""
    return {module["name"]: module["path"] for module in modules_of(folder)}


class StoredWeights:
    """All weights of a model folder by name, each read when it is asked for. `shapes`: of all of them, by name."""

    def __init__(self, folder: Path, contract: Contract):
        paths = module_paths(folder)
        files = {"": folder / FILE} | {
            f"{PREFIX}{name}.": folder / paths[name] / FILE for name in contract.heads.chosen
        }
        self._places = {}
        for prefix, file in files.items():
            opened = safe_open(file, "pt")
            self._places |= {prefix + key: (opened, key) for key in opened.keys()}  # noqa: SIM118  it is not a dictionary
        self.shapes = {name: tuple(opened.get_slice(key).get_shape()) for name, (opened, key) in self._places.items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        opened, key = self._places[name]
        return opened.get_tensor(key)


def read_state(folder: Path, contract: Contract) -> dict[str, torch.Tensor]:
    """Return all weights of a model folder, by name."""
    stored = StoredWeights(folder, contract)
    return {name: stored[name] for name in stored.shapes}


def write_state(folder: Path, state: dict[str, torch.Tensor], contract: Contract) -> None:
    """Write all weights of a model into a folder that has everything else."""
    paths = {PREFIX + name + ".": module_paths(folder)[name] for name in contract.heads.chosen}
    parts = {prefix: {} for prefix in ("", *paths)}
    for name, tensor in state.items():
        prefix = next((prefix for prefix in paths if name.startswith(prefix)), "")
        parts[prefix][name.removeprefix(prefix)] = tensor.contiguous()
    for prefix, tensors in parts.items():
        save_file(tensors, folder / paths.get(prefix, "") / FILE, {"format": "pt"})


def write_code(folder: Path, contract: Contract) -> None:
    """Copy the code of heads that sentence-transformers lacks into a model folder, and refer to it in its
    modules.json."""
    own = [name for name, head in contract.heads.chosen.items() if head.needs_code]
    for name in own:
        shutil.copyfile(Path(__file__).parent / f"{name}.py", folder / f"{name}.py")
    if own:
        modules = json.loads((folder / "modules.json").read_text())
        for module in modules:
            module["type"] = module["type"].removeprefix(f"{__name__}.")
        (folder / "modules.json").write_text(json.dumps(modules, indent=2))
