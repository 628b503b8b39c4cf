"""What other programs read of a model folder: sentence-transformers since 5.0, mteb and servers.

sentence-transformers 5.4 renamed its modules and their settings. It reads the names of before as well; older versions
know no others, and servers that do not know the new ones pool and truncate by defaults of their own. So folders have
those of before."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from ..files import read_json
from ..settings.model import Contract
from .adoption.statements import OLDER_POOLINGS
from .ending import added_tokens
from .heads import write_code
from .prompts import named_prompts

# Settings of a Dense layer that are new, at their defaults.
_DENSE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


def write_exchange(folder: Path, contract: Contract) -> None:
    """Write the modules, the pooling, the maximum length, the prompts, the precision and the heads' code of a folder
    that sentence-transformers saved, so that every version since 5.0 reads them.

    A token-level head cannot be said in the older form: see `requirements`.
    """
    write_code(folder, contract)
    modules = read_json(folder / "modules.json")
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if module["type"].startswith("sentence_transformers."):
            module["type"] = f"sentence_transformers.models.{kind}"
        path = folder / module["path"] / "config.json"
        if kind == "Pooling":
            _write(path, _pooling(read_json(path), contract))
        elif kind == "Dense":
            _write(path, {key: value for key, value in read_json(path).items() if _DENSE.get(key) != value})
    _write(folder / "modules.json", modules)
    _write(
        folder / "sentence_bert_config.json", {"max_seq_length": contract.max_tokens.longest, "do_lower_case": False}
    )
    path = folder / "config_sentence_transformers.json"
    _write(path, read_json(path) | {"prompts": named_prompts(contract)})
    # Else a base that was published in bfloat16 would still be loaded in bfloat16, and embed otherwise than here.
    config = read_json(folder / "config.json")
    config.pop("torch_dtype", None)
    _write(folder / "config.json", config | {"dtype": "float32"})
    path = folder / "tokenizer_config.json"
    tokenizer = read_json(path)
    if (
        tokenizer.get("tokenizer_class") == "TokenizersBackend"
    ):  # the same class under the name that transformers 4 knows
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    if (
        contract.append_eos
    ):  # what tokenizer.json says, too, but transformers 4 makes some tokenizers' special tokens again
        before, behind = added_tokens(Tokenizer.from_file(str(folder / "tokenizer.json")))
        tokenizer |= {"add_bos_token": bool(before), "add_eos_token": bool(behind)}
    _write(path, tokenizer)


def requirements(folder: Path, contract: Contract) -> list[str]:
    """Return what must be installed to read a model folder, as pip writes it.

    transformers 4 ignores `is_causal`, so it would embed with causal attention without a word.
    """
    made_bidirectional = read_json(folder / "config.json").get("is_causal") is False
    version = "5.4" if contract.heads.per_token else "5.0"
    return [f"sentence-transformers>={version}", *(["transformers>=5"] if made_bidirectional else [])]


def _pooling(written: dict, contract: Contract) -> dict:
    modes = {f"pooling_mode_{key}": name == contract.pooling for key, name in OLDER_POOLINGS.items()}
    width = written.get("embedding_dimension") or written["word_embedding_dimension"]
    return {"word_embedding_dimension": width, **modes, "include_prompt": contract.pool_prompt}


def _write(path: Path, content: dict | list) -> None:
    path.write_text(json.dumps(content, indent=2))
