"""Model folders in the form that every sentence-transformers since 5.0, and servers, read."""

import json
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from ascent.model.encoder import Encoder
from ascent.model.exchange import requirements
from ascent.model.saving import save_new
from ascent.settings.model import Contract
from support.tiny_models import make_architecture, make_tokenizer

TEXTS = ["short", "What does a term life policy cover?", "A longer text, cut at the end if it must be. " * 6]
PROMPTS = {"query": {"default": "question: "}, "document": {"default": "passage: "}}
CONTRACTS = {
    "mean": {"prompts": PROMPTS},
    "cls": {"pooling": "cls", "prompts": PROMPTS},
    "last": {"pooling": "last", "normalise": False, "similarity": "dot"},
    "weighted mean": {"pooling": "weighted_mean"},
    "prompt left out": {"pool_prompt": False, "prompts": PROMPTS},
    "projection": {"heads": {"projection": {"dimension": 12}}},
    "own layer": {"heads": {"latent_attention": {"latents": 6, "heads": 4}}},
}
MODES = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken", "weighted_mean": "weightedmean_tokens"}


def saved(resource, folder, options) -> Contract:
    contract = Contract(max_tokens=24, **options)
    folder.mkdir()
    save_new(resource, contract, {}, folder)
    return contract


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", CONTRACTS)
def test_files_have_the_names_that_all_versions_read(tiny_resource, tmp_path, name):
    contract = saved(tiny_resource, tmp_path / "model", CONTRACTS[name])
    folder, modules = tmp_path / "model", read(tmp_path / "model" / "modules.json")
    older = {f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize", "Dense")}
    assert {module["type"] for module in modules} <= older | {"latent_attention.LatentAttention"}
    (pooling,) = (
        read(folder / module["path"] / "config.json") for module in modules if module["type"].endswith("Pooling")
    )
    chosen = [key for key, value in pooling.items() if key.startswith("pooling_mode") and value]
    assert chosen == [f"pooling_mode_{MODES[contract.pooling]}"]
    assert (pooling["word_embedding_dimension"], pooling["include_prompt"]) == (32, contract.pool_prompt)
    assert read(folder / "sentence_bert_config.json") == {"max_seq_length": 24, "do_lower_case": False}
    for module in modules:
        if module["type"].endswith("Dense"):
            config = read(folder / module["path"] / "config.json")
            assert set(config) == {"in_features", "out_features", "bias", "activation_function"}
    plain = SentenceTransformer(str(folder), device="cpu", trust_remote_code=name == "own layer")
    assert plain.max_seq_length == 24
    ours = Encoder(folder, precision="float32").encode(TEXTS, side="query", task="retrieval")
    np.testing.assert_allclose(plain.encode_query(TEXTS), ours, rtol=0, atol=1e-5)


def test_a_base_published_in_bfloat16_is_loaded_in_the_precision_of_evaluation(tiny_resource, tmp_path):
    resource = make_architecture(tmp_path / "resource", "llama", tiny_resource)
    AutoModel.from_pretrained(resource, dtype=torch.bfloat16).save_pretrained(resource)
    assert read(resource / "config.json")["dtype"] == "bfloat16"
    saved(resource, tmp_path / "model", {"attention": "causal", "pooling": "last"})
    plain = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert {weight.dtype for weight in plain.parameters()} == {torch.float32}
    ours = Encoder(tmp_path / "model", precision="float32").encode(TEXTS, side="query", task="retrieval")
    np.testing.assert_allclose(plain.encode_query(TEXTS), ours, rtol=0, atol=1e-5)


def test_requirements_are_those_of_the_folder(tiny_resource, tmp_path):
    resource = make_architecture(tmp_path / "llama", "llama", tiny_resource)
    for name, source, options, expected in (
        ("plain", tiny_resource, {}, ["sentence-transformers>=5.0"]),
        ("causal", resource, {"attention": "causal"}, ["sentence-transformers>=5.0"]),
        ("bidirectional", resource, {}, ["sentence-transformers>=5.0", "transformers>=5"]),
        ("tokens", tiny_resource, {"heads": {"lexical": {}}}, ["sentence-transformers>=5.4"]),
    ):
        contract = saved(source, tmp_path / name, options)
        assert requirements(tmp_path / name, contract) == expected


def test_a_tokenizer_has_the_class_that_all_versions_know(tiny_resource, tmp_path):
    resource = make_architecture(tmp_path / "resource", "modernbert", tiny_resource)
    tokenizer = AutoTokenizer.from_pretrained(resource)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]").save_pretrained(resource)
    assert read(resource / "tokenizer_config.json")["tokenizer_class"] == "TokenizersBackend"
    saved(resource, tmp_path / "model", {})
    assert read(tmp_path / "model" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    plain = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    ours = Encoder(tmp_path / "model", precision="float32").encode(TEXTS, side="query", task="retrieval")
    np.testing.assert_allclose(plain.encode_query(TEXTS), ours, rtol=0, atol=1e-5)


EMBED = """
import sys, numpy, sentence_transformers
folder, trusted, output, *texts = sys.argv[1:]
model = sentence_transformers.SentenceTransformer(folder, device="cpu", trust_remote_code=trusted == "True")
print(sentence_transformers.__version__, model.max_seq_length, model.similarity_fn_name)
numpy.save(output, numpy.stack([model.encode_query(texts), model.encode_document(texts)]))
"""
# Versions, and what else must be older with them.
OLDER = {"5.1.2": ["transformers<5", "huggingface-hub<1", "tokenizers<0.23", "datasets<4.4"], "5.3.0": []}


@pytest.mark.nightly
@pytest.mark.parametrize("version", OLDER)
def test_older_versions_embed_the_same(tiny_resource, corpus_rows, tmp_path, version):
    """In an environment of their own, which borrows torch and the rest from this one."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        f"sentence-transformers=={version}",
        *OLDER[version],
    ]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install sentence-transformers {version}: {done.stderr[-300:]}")
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    texts = [row["positive"] for row in corpus_rows]
    tokenizers = {kind: make_tokenizer(tmp_path / f"{kind}-tokenizer", kind, texts) for kind in ("llama", "qwen3")}
    ending = {"pooling": "last", "attention": "causal", "append_eos": True}
    cases = [(name, tiny_resource, options) for name, options in CONTRACTS.items()]
    cases += [
        (kind, make_architecture(tmp_path / f"{kind}-base", kind, path), ending) for kind, path in tokenizers.items()
    ]
    for name, resource, options in cases:
        folder, output = tmp_path / name.replace(" ", "-"), tmp_path / "found.npy"
        saved(resource, folder, options)
        command = [python, "-c", EMBED, folder, name == "own layer", output, *TEXTS]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.split() == [version, "24", options.get("similarity", "cosine")]
        encoder = Encoder(folder, precision="float32")
        ours = [encoder.encode(TEXTS, side=side, task="retrieval") for side in ("query", "document")]
        np.testing.assert_allclose(np.load(output), ours, rtol=0, atol=1e-5)
