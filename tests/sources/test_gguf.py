"""A model in a GGUF file becomes a folder that loads."""

from pathlib import Path

import pytest

from ascent.errors import AscentError
from ascent.settings.sources import Files
from ascent.sources import retrieve


def write_gguf(path: Path, model) -> None:
    """Write a Llama to a GGUF file; llama.cpp keeps the rows of queries and keys in another order (its
    convert_hf_to_gguf.py)."""
    import gguf
    from tokenizers.pre_tokenizers import ByteLevel

    config, state = model.config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    tokens = ["<end>", *sorted(ByteLevel.alphabet()), "th", "the"]
    assert config.vocab_size == len(tokens)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1))
    writer.add_token_merges(["t h", "th e"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id):
        add(0)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
    }
    names |= {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in state.items():
        if not name.startswith("layers."):
            writer.add_tensor(
                {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name], tensor
            )
            continue
        _, layer, inner = name.removesuffix(".weight").split(".", 2)
        place = names[inner]
        if place in heads:
            tensor = tensor.reshape(heads[place], 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(f"blk.{layer}.{place}.weight", tensor.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_model_in_a_gguf_file_becomes_a_folder_that_loads(tmp_path):
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from ascent.model.backbone import load_backbone
    from ascent.settings.model import Contract

    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    shape |= {
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "vocab_size": 259,
        "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"},
    }
    model = AutoModel.from_config(AutoConfig.for_model("llama", **shape)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    write_gguf(tmp_path / "tiny.gguf", model)
    retrieve(Files(type="files", paths=[str(tmp_path / "tiny.gguf")]), tmp_path / "model", "models", tmp_path)
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "provenance.json"} <= files
    assert "tiny.gguf" not in files
    for name, tensor in AutoModel.from_pretrained(tmp_path / "model").state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=0)
    backbone, tokenizer = load_backbone(tmp_path / "model", Contract(max_tokens=32, attention="causal"))
    assert AutoTokenizer.from_pretrained(tmp_path / "model").tokenize("the moth 7") == [
        "the",
        "Ġ",
        "m",
        "o",
        "th",
        "Ġ",
        "7",
    ]
    ids = torch.tensor([tokenizer("the moth").input_ids])
    positions = torch.arange(ids.shape[1])[None]
    bounds = {"cumulative": torch.tensor([0, ids.shape[1]], dtype=torch.int32), "longest": ids.shape[1]}
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state
        found = backbone(input_ids=ids, position_ids=positions, **bounds).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_bad_gguf_file_and_two_of_them_are_refused(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    one = Files(type="files", paths=[str(tmp_path / "a.gguf")])
    with pytest.raises(
        AscentError, match=r"a\.gguf: transformers cannot read this GGUF file \(.*\); use another model\.$"
    ):
        retrieve(one, tmp_path / "model", "models", tmp_path)
    both = Files(type="files", paths=[str(tmp_path / "a.gguf"), str(tmp_path / "b.gguf")])
    with pytest.raises(AscentError, match="the source gives 2 GGUF files; keep one by `members`, `files` or `paths`"):
        retrieve(both, tmp_path / "model", "models", tmp_path)
    retrieve(both, tmp_path / "corpus", "corpora", tmp_path)  # of a corpus, they are files like any other
