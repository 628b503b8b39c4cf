"""The prompt contract of a model folder: `ascent.json`, written by training and checked by every step that reads a
model.

A prompt, a pooling or a tokenizer that differs between training and evaluation is the most common cause of wrong scores
on the leaderboard, and nothing crashes: so every folder states its contract, and a step that expects another one fails.
"""

import hashlib
from pathlib import Path
from typing import Any

from ..errors import AscentError
from ..files import read_json, sha256_file, write_json
from ..settings.model import Contract
from ..settings.validation import check
from .ending import unlimited

FILE = "ascent.json"


def tokenizer_digest(tokenizer) -> str:
    """Return the SHA-256 of what determines a tokenizer's output: its model and special tokens, not its padding or file
    layout.

    tokenizer: of transformers, or of its backend, the library tokenizers.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    with unlimited(backend):
        text = backend.to_str()
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(folder: str | Path) -> str:
    """Return the SHA-256 over the safetensors files of a model folder, those of its heads among them."""
    files = sorted(Path(folder).glob("*.safetensors"))
    heads = sorted(Path(folder).glob("[0-9]_*/*.safetensors"))
    if not files:
        raise AscentError(
            f"{folder}: has no safetensors weights, and pickled weights are never loaded; convert them first."
        )
    return hashlib.sha256("".join(sha256_file(file) for file in files + heads).encode()).hexdigest()


def write_contract(folder: str | Path, contract: Contract, tokenizer, history: dict[str, Any]) -> None:
    """Write ascent.json: the contract, the digests of tokenizer and weights, and how the model was made."""
    write_json(
        Path(folder) / FILE,
        {
            "contract": contract.model_dump(mode="json"),
            "tokenizer_digest": tokenizer_digest(tokenizer),
            "weights_digest": weights_digest(folder),
            "history": history,
        },
    )


def read_contract(folder: str | Path, *, weights: bool = True) -> tuple[Contract, dict[str, Any]]:
    """Return a model folder's contract and the whole of its ascent.json.

    weights: read them, too, to compare their digest: where another process does, 30 GB need not be read again. Raises
    AscentError if the file is missing, or the weights are not those that it was written for.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise AscentError(
            f"{folder}: has no {FILE}, so its pooling and prompts are unknown; make the model with a stage."
        )
    document = read_json(path)
    if weights and document.get("weights_digest") != weights_digest(folder):
        raise AscentError(f"{folder}: the weights are not those that {FILE} was written for; rebuild the model.")
    return check(Contract, document.get("contract"), path), document


def refuse_difference(found: Contract, expected: Contract, folder: str | Path, *, prompts: bool = True) -> None:
    """Raise AscentError if two contracts differ, naming the first key that does."""
    has, wanted = (contract.model_dump(mode="json") for contract in (found, expected))
    for key in Contract.model_fields:
        if key == "prompts" and not prompts:
            continue
        if has[key] != wanted[key]:
            raise AscentError(
                f"{folder}: the model was made with {key} = {has[key]!r}, but the recipe says "
                f"{wanted[key]!r}; fix the recipe or rebuild the model."
            )
