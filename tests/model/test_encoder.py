"""The encoder gives sentence-transformers' embeddings, in any order, and refuses a folder that is not what it says."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from ascent.errors import AscentError
from ascent.model import encoder as encoder_module
from ascent.model.backbone import load_backbone
from ascent.model.contract import read_contract
from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.progress import Progress
from ascent.settings.model import Backbone, Contract

POOLINGS = [("mean", True), ("mean", False), ("cls", True), ("last", True), ("weighted_mean", True)]
PROMPTS = {"query": {"retrieval": "question: ", "default": "text: "}, "document": {"default": "passage: "}}


@pytest.fixture(scope="module")
def texts(corpus_rows):
    return [row["positive"] for row in corpus_rows[:60]] + ["", "open", "open"]


def folder_of(tiny_resource, tmp_path, contract: Contract):
    folder = tmp_path / "model"
    folder.mkdir()
    save_new(tiny_resource, contract, {}, folder)
    return folder


@pytest.fixture
def copied(tiny_model, tmp_path):
    """A model folder that a test may spoil."""
    return shutil.copytree(tiny_model, tmp_path / "copied")


@pytest.mark.parametrize(("pooling", "normalise"), POOLINGS)
def test_embeddings_are_those_of_sentence_transformers(tiny_resource, tmp_path, texts, pooling, normalise):
    similarity = "cosine" if normalise else "dot"
    contract = Contract(pooling=pooling, normalise=normalise, similarity=similarity, max_tokens=32, prompts=PROMPTS)
    folder = folder_of(tiny_resource, tmp_path, contract)
    encoder = Encoder(folder, precision="float32", tokens_per_batch=256)
    reference = SentenceTransformer(str(folder), device="cpu")
    assert reference.max_seq_length == 32
    for side, task, prompt in (
        ("query", "retrieval", "question: "),
        ("query", "reranking", "question: "),
        ("query", "sts", "text: "),
        ("document", "sts", "text: "),
        ("document", "retrieval", "passage: "),
    ):
        ours = encoder.encode(texts, side=side, task=task)
        expected = reference.encode(texts, prompt=prompt, batch_size=7)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
        # The prompt matters, else this comparison would say nothing of it.
        assert np.abs(expected - reference.encode(texts, prompt="")).max() > 1e-3
    for side, encode in (("query", reference.encode_query), ("document", reference.encode_document)):
        ours = encoder.encode(texts, side=side, task="retrieval")
        np.testing.assert_allclose(ours, encode(texts), rtol=0, atol=1e-5)


def test_a_text_s_embedding_does_not_depend_on_its_neighbours(tiny_model, texts):
    encoder = Encoder(tiny_model, precision="float32")
    whole = encoder.encode(texts, side="document", task="retrieval")
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = encoder.encode([texts[i] for i in order], side="document", task="retrieval")
    np.testing.assert_allclose(shuffled, whole[order], rtol=0, atol=1e-6)
    encoder.tokens_per_batch = 1  # each text alone
    np.testing.assert_allclose(encoder.encode(texts, side="document", task="retrieval"), whole, rtol=0, atol=1e-6)
    # No mean length of 1 by chance: the contract normalises.
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_many_texts_are_embedded_chunk_by_chunk(tiny_model, texts, monkeypatch):
    encoder = Encoder(tiny_model, precision="float32")
    expected, seen = encoder.encode(texts, side="document", task="retrieval"), []
    made = encoder._rows
    monkeypatch.setattr(encoder, "_rows", lambda part, *asked: (seen.append(len(part)), made(part, *asked))[1])
    monkeypatch.setattr(encoder_module, "CHUNK_TEXTS", 7)
    found = encoder.encode(texts, side="document", task="retrieval")
    assert max(seen) == 7 and sum(seen) == len(set(texts))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_no_texts_give_no_embeddings(tiny_model):
    assert Encoder(tiny_model).encode([], side="query", task="sts").shape == (0, 32)


def test_texts_of_several_calls_are_counted_together_repeated_ones_too(tiny_model, capsys):
    encoder = Encoder(tiny_model)
    with Progress("pairs", 8, "text") as shown:
        for texts in (["a file", "open", "a file"], [], ["open"] * 5):
            encoder.encode(texts, side="query", task="sts", progress=shown)
    assert capsys.readouterr().out.splitlines()[-1] == "pairs: text 8/8"
    encoder.encode(["open"] * 3, side="query", task="sts", progress="queries")
    assert capsys.readouterr().out == ""  # done within the ten seconds that leave no line


def test_a_teacher_is_used_as_the_recipe_says(tiny_resource, texts):
    teacher = Encoder.of_backbone(tiny_resource, Backbone(model="tiny", pooling="cls", max_tokens=16), "float32")
    reference = SentenceTransformer(str(tiny_resource), device="cpu")
    reference.max_seq_length = 16
    states = reference.encode(texts[:5], output_value="token_embeddings")
    expected = torch.stack([torch.nn.functional.normalize(rows[0], dim=0) for rows in states])
    np.testing.assert_allclose(teacher.encode(texts[:5], side="query", task="sts"), expected.numpy(), atol=1e-5)


def refused(folder, message: str, **options) -> None:
    with pytest.raises(AscentError, match=message) as error:
        Encoder(folder, **options)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)


def test_weights_that_changed_are_refused(copied):
    weights = load_file(copied / "model.safetensors")
    save_file({name: tensor + 1e-3 for name, tensor in weights.items()}, copied / "model.safetensors", {"format": "pt"})
    refused(copied, r"the weights are not those that ascent\.json was written for; rebuild the model")


def test_another_tokenizer_is_refused(copied):
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    configuration = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps(configuration | {"do_lower_case": False}))
    assert AutoTokenizer.from_pretrained(copied).encode("Open") != AutoTokenizer.from_pretrained(copied).encode("open")
    refused(copied, r"the tokenizer is not the one that ascent\.json was written for; rebuild the model")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pooling": "cls"}, "the model was made with pooling = 'mean', but the recipe says 'cls'; fix the recipe or"),
        ({"max_tokens": 16}, "the model was made with max_tokens = 32, but the recipe says 16; fix the recipe or"),
        (
            {"prompts": {"query": {"default": "q: "}}},
            "the model was made with prompts = {}, but the recipe says {'query'",
        ),
    ],
)
def test_a_contract_that_disagrees_is_refused(copied, asked, message):
    refused(copied, message, expected=Contract(**{"max_tokens": 32} | asked))


def test_a_folder_without_a_contract_is_refused(copied):
    (copied / "ascent.json").unlink()
    refused(copied, r"has no ascent\.json, so its pooling and prompts are unknown")


def test_pickled_weights_are_never_loaded(copied):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    refused(copied, "has no safetensors weights, and pickled weights are never loaded")


def test_an_embedding_that_is_not_finite_is_named(copied):
    weights = load_file(copied / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][:] = float("nan")
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    document = json.loads((copied / "ascent.json").read_text())
    from ascent.model.contract import weights_digest

    (copied / "ascent.json").write_text(json.dumps(document | {"weights_digest": weights_digest(copied)}))
    encoder = Encoder(copied)
    with pytest.raises(AscentError, match="the embedding of 'open' is not finite"):
        encoder.encode(["open"], side="query", task="sts")


def test_a_contract_is_read_as_it_was_written(tiny_resource, tmp_path):
    contract = Contract(pooling="cls", normalise=False, similarity="dot", max_tokens=7, prompts=PROMPTS)
    found, document = read_contract(folder_of(tiny_resource, tmp_path, contract))
    assert found == contract
    assert document["contract"] == contract.model_dump(mode="json")


def test_more_tokens_than_the_backbone_has_positions_are_refused(tiny_resource):
    with pytest.raises(
        AscentError, match="takes at most 64 tokens, but max_tokens is 65; write at most max_tokens: 64"
    ):
        load_backbone(tiny_resource, Contract(max_tokens=65))
    load_backbone(tiny_resource, Contract(max_tokens=64))
