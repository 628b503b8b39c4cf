"""A GGUF file, llama.cpp's form of a model, unpacked into a folder that everything else loads. None of its code is
run."""

from pathlib import Path

from ..errors import AscentError
from ..files import read_json, write_json


def unpack_gguf(file: Path, folder: Path) -> None:
    """Write a GGUF file's model to `folder`: config.json, safetensors (float32, dequantised) and a tokenizer.

    Raises AscentError if transformers does not know its architecture, or the file is damaged.
    """
    import torch  # takes seconds, and other sources do not need it
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    except ImportError as error:
        raise AscentError(
            f"{file.name}: a GGUF file needs the packages gguf and accelerate ({error}); install them."
        ) from None
    except Exception as error:  # a damaged file fails anywhere
        reason = " ".join(str(error).split())
        raise AscentError(
            f"{file.name}: transformers cannot read this GGUF file ({reason}); use another model."
        ) from None
    # transformers does not save a model loaded from GGUF; an equal one with a plain configuration it does.
    config = type(model.config)(
        **{key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    )
    plain = AutoModel.from_config(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers' reader adds a token of its own, which the file, and so the model, does not have.
    written = read_json(folder / "tokenizer.json")
    written["added_tokens"] = [token for token in written["added_tokens"] if token["id"] < config.vocab_size]
    write_json(folder / "tokenizer.json", written)
