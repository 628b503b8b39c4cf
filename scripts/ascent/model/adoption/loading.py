"""Whether a loaded model is what its folder says: no layer keeps random weights, no weight is lost, and the tokenizer
fits."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ...errors import AscentError

# Its report of what was loaded would be a table of all weights in front of our sentence.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

# A sentence in scripts of which each vocabulary knows one.
PROBES = (
    "What is this thing?",
    "这是什么东西？",
    "これは何ですか？",
    "이것은 무엇입니까?",
    "Что это такое?",
    "ما هذا الشيء؟",
    "यह क्या है?",
)


def refuse_code(folder: Path, config: dict) -> None:
    """Raise AscentError for an architecture that transformers does not know itself: code of a folder is never run."""
    kind, code = config.get("model_type"), config.get("auto_map")
    if kind in CONFIG_MAPPING:
        return
    if code:
        raise AscentError(
            f"{folder / 'config.json'}: model_type {kind!r} needs the folder's own code (auto_map:"
            f" {', '.join(_names(code))}), which is never run; choose a model of an architecture that transformers"
            " knows."
        )
    raise AscentError(
        f"{folder / 'config.json'}: transformers {transformers.__version__} does not know model_type {kind!r}; choose"
        " another model, or another version of transformers."
    )


def load_weights(automatic: Any, folder: Path, config: dict, *, pooler: bool, **options: Any) -> torch.nn.Module:
    """Load a model of a folder by one of transformers' automatic classes, and check transformers' report.

    config: the contents of config.json. pooler: whether the model uses its pooler; one that it does not may be missing.
    Raises AscentError for code of the folder's own, weights that are missing, of another shape, or of no layer.
    """
    refuse_code(folder, config)
    try:
        model, report = automatic.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, in one sentence
            **options,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise AscentError(
            f"{folder}: transformers cannot load it ({_reason(error)}); check the model's source."
        ) from None
    name = type(model).__name__
    missing = {key for key in report["missing_keys"] if pooler or "pooler" not in key.split(".")}
    lost, unused = [], []
    for key in sorted(report["unexpected_keys"]):
        (lost if _is_of(model, key) or missing else unused).append(key)
    if missing or lost:
        parts = (
            [f"has no weights for {_some(missing)} of transformers' {name}, which would stay random"] if missing else []
        )
        parts += [f"has weights that no layer of transformers' {name} takes: {_some(lost)}"] if lost else []
        raise AscentError(
            f"{folder}: {', and '.join(parts)}; rename the weights, fix config.json, or choose another model."
        )
    if report["mismatched_keys"]:
        key, stored, expected = min(report["mismatched_keys"])
        raise AscentError(
            f"{folder}: {key} has the shape {tuple(stored)}, but by config.json {tuple(expected)}; use the config.json"
            " that belongs to these weights."
        )
    if unused:
        print(f"note: {folder}: weights of no layer of {name} are left out: {_some(unused)}.")
    if code := config.get("auto_map"):
        print(
            f"note: {folder}: the code that config.json names (auto_map: {', '.join(_names(code))}) is not run; the"
            f" weights fit transformers' own {name}."
        )
    return model


def load_tokenizer(folder: Path, embeddings: int) -> Any:
    """Return a folder's tokenizer for an embedding table of this many rows, with a padding token.

    Raises AscentError if it cannot be read, knows no words, has tokens without an embedding, or nothing to pad with.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer raises its own
        raise AscentError(
            f"{folder}: its tokenizer cannot be read ({_reason(error)}); retrieve all of its files again."
        ) from None
    if not any(_known_words(tokenizer, probe) > 1 for probe in PROBES):
        raise AscentError(
            f"{folder}: has no tokenizer that knows words, since its vocabulary (tokenizer.json, vocab.txt, a"
            " sentencepiece model or the like) is missing or empty; add it to the files of the model's source."
        )
    tokens = max(tokenizer.get_vocab().values()) + 1
    if tokens > embeddings:
        raise AscentError(
            f"{folder}: the tokenizer has {tokens:,} tokens, but the model {embeddings:,} embeddings; use the tokenizer"
            " that the model was trained with."
        )
    if set_padding(tokenizer, folder):
        print(
            f"note: {folder}: its tokenizer has no padding token; {tokenizer.pad_token!r} is set as one, which is"
            " masked."
        )
    return tokenizer


def set_padding(tokenizer, folder: str | Path) -> bool:
    """Give a tokenizer without a padding token its end token, or else its unknown token; return whether it had none.

    No embedding depends on it, because padding is masked. Raises AscentError if it has neither.
    """
    if tokenizer.pad_token is not None:
        return False
    token = tokenizer.eos_token or tokenizer.unk_token
    if token is None:
        raise AscentError(
            f"{folder}: its tokenizer has no padding, end or unknown token; set pad_token in its tokenizer_config.json."
        )
    tokenizer.pad_token = token
    return True


def _known_words(tokenizer, text: str) -> int:
    """Return how many different tokens of a text are neither special nor unknown."""
    ids = set(tokenizer(text, add_special_tokens=False)["input_ids"])
    return len(ids - set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def _is_of(model: torch.nn.Module, key: str) -> bool:
    """Return whether a weight's name places it inside the model, not in a head for another task."""
    prefix = f"{model.base_model_prefix}."
    parts = {name for module in (model, model.base_model) for name, _ in module.named_children()} - {"pooler"}
    return key.removeprefix(prefix).split(".")[0] in parts


def _names(code: dict) -> list[str]:
    """Return the classes that an auto_map names; of a tokenizer it is a pair."""
    values = [value for entry in code.values() for value in (entry if isinstance(entry, list | tuple) else [entry])]
    return sorted({value for value in values if value})


def _some(keys: Collection[str]) -> str:
    return min(keys) + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
