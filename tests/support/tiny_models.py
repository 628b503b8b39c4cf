"""Toy models of every architecture that is packed, with windows shorter than the texts."""

import shutil
from pathlib import Path

import numpy as np

# Longer and shorter than the windows, neighbours of one length, single tokens.
LENGTHS = [23, 5, 5, 1, 17, 2, 30]
SHAPE = {
    "vocab_size": 2016,  # more than the tokenizer has, to which transformers adds tokens of some architectures
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
ENCODER = SHAPE | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
GROUPED = SHAPE | {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
ENCODERS = {
    "bert": ENCODER,
    "roberta": ENCODER | {"pad_token_id": 1},
    "xlm-roberta": ENCODER | {"pad_token_id": 1},
    "modernbert": SHAPE | {"pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2},
}
GEMMA = GROUPED | {"sliding_window_pattern": 2, "query_pre_attn_scalar": 8}
# EmbeddingGemma's own way to attend bidirectionally; its window is halved.
ENCODERS["embeddinggemma"] = GEMMA | {
    "model_type": "gemma3_text",
    "sliding_window": 8,
    "use_bidirectional_attention": True,
}
DECODERS = {
    "llama": GROUPED,
    "mistral": GROUPED | {"sliding_window": 4},
    "qwen2": GROUPED | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": GROUPED,
    "gemma3_text": GEMMA | {"sliding_window": 4},
}
T5 = {"vocab_size": 2016, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4, "pad_token_id": 0}
ENCODERS["t5"] = T5 | {"dropout_rate": 0.0}
EVERY = [(name, "bidirectional") for name in (*ENCODERS, *DECODERS)] + [(name, "causal") for name in DECODERS]


def make_architecture(folder: Path, name: str, tokenizer: Path, **changes: int) -> Path:
    """Make a model folder of an architecture with the tokenizer of another folder."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

    shutil.copytree(tokenizer, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    torch.manual_seed(0)
    config = AutoConfig.for_model(**{"model_type": name} | {**ENCODERS, **DECODERS}.get(name, SHAPE) | changes)
    model = (AutoModelForTextEncoding if name == "t5" else AutoModel).from_config(config)
    draw_weights(model)
    model.save_pretrained(folder)
    return folder


def draw_weights(model, std: float = 0.25) -> None:
    """Draw a model's matrices, large enough that attention looks at some tokens more than at others."""
    import torch

    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=std)


def make_tokenizer(folder: Path, name: str, texts: list[str]) -> Path:
    """Write a tokenizer of an architecture's own class, trained on texts, as decoders are published: without an end
    token, and with one for the beginning except for Qwen."""
    from transformers import GemmaTokenizer, LlamaTokenizer, Qwen2Tokenizer

    own = {"qwen2": Qwen2Tokenizer, "qwen3": Qwen2Tokenizer, "gemma3_text": GemmaTokenizer}.get(name, LlamaTokenizer)
    tokenizer = own().train_new_from_iterator(texts, 600, show_progress=False)
    tokenizer.add_bos_token = own is not Qwen2Tokenizer
    tokenizer.save_pretrained(folder)
    return folder


def rows_of(lengths=LENGTHS) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(5, 2000, length).astype(np.int32) for length in lengths]
