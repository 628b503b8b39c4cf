"""Every architecture attends as its contract says, and a folder that is written gives the same embeddings without our
code."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel, T5ForConditionalGeneration

from ascent.errors import AscentError
from ascent.model.backbone import has_dropout, load_backbone, position_table
from ascent.model.batching import pad, tokenise
from ascent.model.embedding_model import EmbeddingModel, pool
from ascent.model.encoder import Encoder
from ascent.model.packing import is_packed
from ascent.model.precision import fits_float8, is_to_compile, prepare_backbone
from ascent.model.saving import save_like, save_new
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from support.tiny_models import DECODERS, ENCODERS, EVERY, T5, make_architecture

# As a recipe and as sentence-transformers name them.
POOLINGS = {"mean": "mean", "cls": "cls", "last": "lasttoken", "weighted_mean": "weightedmean"}
# Architectures that are not packed; MPNet counts positions from behind its padding's.
PADDED = [("electra", "bidirectional"), ("mpnet", "bidirectional"), ("gpt2", "causal")]


@pytest.fixture(scope="module")
def folders(tiny_resource, tmp_path_factory):
    parent = tmp_path_factory.mktemp("architectures")
    return {name: make_architecture(parent / name, name, tiny_resource) for name in (*ENCODERS, *DECODERS)}


@pytest.fixture(scope="module")
def padded_folders(tiny_resource, tmp_path_factory):
    parent = tmp_path_factory.mktemp("padded")
    return {name: make_architecture(parent / name, name, tiny_resource) for name, _ in PADDED}


@pytest.fixture(scope="module")
def texts(corpus_rows):
    return [row["positive"] for row in corpus_rows[:12]] + ["", "open"]


def rows_of(*lengths: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(5, 2000, length).astype(np.int32) for length in lengths]


def embedding_model(folder, attention: str = "bidirectional", **contract) -> EmbeddingModel:
    contract = Contract(max_tokens=32, attention=attention, **contract)
    return EmbeddingModel(load_backbone(folder, contract)[0], contract).eval()


@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_a_later_token_changes_an_earlier_state_only_if_bidirectional(folders, name, attention):
    model = embedding_model(folders[name], attention, pooling="cls")
    row, other = rows_of(3)[0], rows_of(3)[0]
    other[-1] += 1
    with torch.no_grad():
        first, second = (model.embed(**model.inputs([tokens], 0, "cpu")) for tokens in (row, other))
    assert (float((first - second).norm()) > 1e-2) == (attention == "bidirectional")
    assert attention == "bidirectional" or torch.equal(first, second)


@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_a_written_folder_needs_none_of_our_code(folders, tmp_path, texts, name, attention):
    contract = Contract(max_tokens=32, attention=attention, pooling="mean" if name in ENCODERS else "last")
    (tmp_path / "model").mkdir()
    save_new(folders[name], contract, {}, tmp_path / "model")
    encoder = Encoder(tmp_path / "model", expected=contract, precision="float32", tokens_per_batch=64)
    ours = encoder.encode(texts, side="query", task="retrieval")
    for implementation in ("eager", "sdpa"):
        options = {"attn_implementation": implementation}
        reference = SentenceTransformer(str(tmp_path / "model"), device="cpu", model_kwargs=options)
        np.testing.assert_allclose(ours, reference.encode(texts, batch_size=5), rtol=0, atol=1e-5)
    if name != "t5":
        rows = tokenise(encoder.tokenizer, texts, "", 32)
        inputs = pad(rows, encoder.tokenizer.pad_token_id)
        backbone = AutoModel.from_pretrained(tmp_path / "model").eval()
        with torch.no_grad():
            states = backbone(**inputs).last_hidden_state
        for row, tokens, embedding in zip(states, rows, ours, strict=True):
            pooled = row[: len(tokens)].mean(0) if contract.pooling == "mean" else row[len(tokens) - 1]
            np.testing.assert_allclose(embedding, torch.nn.functional.normalize(pooled, dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_packed_and_padded_on_either_side_give_one_embedding(folders, name, attention, pooling):
    compare_paddings(embedding_model(folders[name], attention, pooling=pooling))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("name", "attention"), PADDED)
def test_what_cannot_be_packed_may_be_padded_on_either_side_too(padded_folders, name, attention, pooling):
    model = embedding_model(padded_folders[name], attention, pooling=pooling)
    assert not is_packed(model.backbone)
    compare_paddings(model)


def compare_paddings(model: EmbeddingModel) -> None:
    """Rows together, padded on the right and on the left have the embeddings of each row alone."""
    rows = rows_of(9, 4, 1, 20)
    pad_id = model.backbone.config.pad_token_id or 0
    right = pad(rows, pad_id)
    left = {key: torch.full_like(tensor, pad_id if key == "input_ids" else 0) for key, tensor in right.items()}
    for index, row in enumerate(rows):
        for key in left:
            left[key][index, -len(row) :] = right[key][index, : len(row)]
    with torch.no_grad():
        expected = torch.cat([model.embed(**model.inputs([row], pad_id, "cpu")) for row in rows])
        for inputs in (model.inputs(rows, pad_id, "cpu"), right, left):
            torch.testing.assert_close(model.embed(**inputs), expected, rtol=0, atol=1e-5)


# The toy's tokenizer gives token types, which sentence-transformers hands on and GPT-2 takes for words.
@pytest.mark.parametrize(("name", "attention"), [*EVERY, *PADDED[:2]])
def test_a_tokenizer_that_pads_on_the_left_gives_the_same_embeddings(
    folders, padded_folders, tmp_path, texts, name, attention
):
    resource = shutil.copytree((folders | padded_folders)[name], tmp_path / "resource")
    AutoTokenizer.from_pretrained(resource, padding_side="left").save_pretrained(resource)
    contract = Contract(max_tokens=32, attention=attention)
    (tmp_path / "model").mkdir()
    save_new(resource, contract, {}, tmp_path / "model")
    encoder, plain = (
        Encoder(tmp_path / "model", precision="float32"),
        SentenceTransformer(str(tmp_path / "model"), device="cpu"),
    )
    learned = position_table(encoder.model.backbone) is not None
    assert plain.tokenizer.padding_side == ("right" if learned else "left")
    for pooling, theirs in POOLINGS.items():
        encoder.model.contract = contract.model_copy(update={"pooling": pooling})
        plain[1].pooling_mode = theirs
        ours = encoder.encode(texts, side="query", task="retrieval")
        np.testing.assert_allclose(ours, plain.encode(texts, batch_size=5), rtol=0, atol=1e-5)


def test_an_encoder_is_not_made_causal(folders):
    with pytest.raises(
        AscentError, match="this backbone attends bidirectionally, which cannot be changed; set attention: bid"
    ):
        load_backbone(folders["bert"], Contract(max_tokens=32, attention="causal"))


def test_a_decoder_that_we_do_not_know_is_not_made_bidirectional(folders, tiny_resource, tmp_path):
    gpt = make_architecture(tmp_path / "gpt", "gpt2", tiny_resource)
    with pytest.raises(
        AscentError, match="causally, and a 'gpt2' model is not known to become bidirectional; set attention: c"
    ):
        load_backbone(gpt, Contract(max_tokens=32))
    load_backbone(gpt, Contract(max_tokens=32, attention="causal"))


def test_a_folder_made_bidirectional_is_not_read_as_causal(folders, tmp_path):
    save_new(folders["qwen3"], Contract(max_tokens=32, attention="bidirectional"), {}, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["is_causal"] is False
    with pytest.raises(AscentError, match="attends bidirectionally, which cannot be changed"):
        load_backbone(tmp_path, Contract(max_tokens=32, attention="causal"))


@pytest.mark.parametrize("name", ["qwen3", "t5"])
def test_a_trained_folder_needs_none_of_our_code_either(folders, tmp_path, texts, name):
    contract = Contract(max_tokens=32)
    parent, folder = tmp_path / "parent", tmp_path / "trained"
    parent.mkdir()
    save_new(folders[name], contract, {}, parent)
    state = load_backbone(parent, contract)[0].state_dict()
    save_like(parent, {key: tensor + 0.01 for key, tensor in state.items()}, contract, {}, folder)
    ours = Encoder(folder, precision="float32").encode(texts, side="query", task="retrieval")
    np.testing.assert_allclose(ours, SentenceTransformer(str(folder), device="cpu").encode(texts), rtol=0, atol=1e-5)
    assert (
        np.abs(ours - Encoder(parent, precision="float32").encode(texts, side="query", task="retrieval")).max() > 1e-3
    )


def test_of_an_encoder_and_decoder_the_encoder_is_loaded(tiny_resource, tmp_path):
    folder = make_architecture(tmp_path / "t5", "t5", tiny_resource)
    torch.manual_seed(1)
    whole = T5ForConditionalGeneration(AutoConfig.for_model("t5", **T5)).eval()
    whole.save_pretrained(folder)
    model = embedding_model(folder)
    assert isinstance(model.backbone, T5EncoderModel)
    rows = rows_of(9, 4)
    with torch.no_grad():
        expected = torch.cat([whole.encoder(torch.tensor(row[None]).long()).last_hidden_state.mean(1) for row in rows])
        found = model.embed(**model.inputs(rows, 0, "cpu"))
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_pooling_is_by_rows_and_keeps_its_precision(dtype):
    states = torch.linspace(0, 1, 21, dtype=torch.float64).reshape(7, 3).to(dtype).requires_grad_()
    cumulative = torch.tensor([0, 4, 5, 7], dtype=torch.int32)
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    rows = states.to(kept).split([4, 1, 2])
    for pooling, expected in (
        ("mean", [row.sum(0) / len(row) for row in rows]),
        ("cls", [row[0] for row in rows]),
        ("last", [row[-1] for row in rows]),
        (
            "weighted_mean",
            [sum(i * state for i, state in enumerate(row, 1)) / sum(range(len(row) + 1)) for row in rows],
        ),
    ):
        pooled = pool(states, cumulative, pooling)
        assert pooled.dtype == kept
        torch.testing.assert_close(pooled, torch.stack(expected))
    if dtype == torch.float64:
        for pooling in ("mean", "weighted_mean"):
            assert torch.autograd.gradcheck(lambda x, pooling=pooling: pool(x, cumulative, pooling), states)


def test_a_stage_s_dropout_reaches_backbones_that_call_it_otherwise(padded_folders, tmp_path):
    contract = Contract(max_tokens=32, attention="causal")
    assert has_dropout(load_backbone(padded_folders["gpt2"], contract)[0])
    assert not has_dropout(load_backbone(padded_folders["gpt2"], contract, dropout=0.0)[0])
    mamba = AutoConfig.for_model("mamba", vocab_size=8, hidden_size=8, num_hidden_layers=1, state_size=2)
    AutoModel.from_config(mamba).save_pretrained(tmp_path)
    with pytest.raises(
        AscentError, match="dropout is 0.1, but this backbone has no such setting; remove it from the stage"
    ):
        load_backbone(tmp_path, contract, dropout=0.1)


@pytest.mark.parametrize("pooling", ["mean", "last", "weighted_mean"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_multiple_of_sixteen_tokens_changes_nothing(folders, monkeypatch, pooling, packed):
    """As FP8's products need it: embeddings and gradients are those without the padding, in float64."""
    monkeypatch.setattr("ascent.model.backbone.is_to_pack", lambda kind: packed)
    contract = Contract(max_tokens=32, pooling=pooling)
    rows, found = rows_of(23, 5, 5, 2, 17, 2, 30), []
    for multiple in (1, 16):
        backbone, _ = load_backbone(folders["bert"], contract, dropout=0.0)
        model = EmbeddingModel(backbone, contract, multiple=multiple).double()
        inputs = model.inputs(rows, 0, "cpu", [1] * len(rows))
        assert (inputs["input_ids"].numel() % 16 == 0) == (multiple == 16)
        embeddings = model.embed(**inputs)
        (embeddings * torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)).sum().backward()
        found.append([embeddings.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    for ours, right in zip(*found, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-10, atol=1e-12)


def test_fp8_leaves_out_what_does_not_fit_and_lora_s_own_matrices():
    square, thin = torch.nn.Linear(32, 32), torch.nn.Linear(32, 8)
    assert fits_float8(square, "layer.0.query") and not fits_float8(thin, "layer.0.query")
    assert not fits_float8(torch.nn.Linear(32, 16), "layer.0.query.lora_A.default")


def test_fp8_on_a_gpu_implies_compilation(monkeypatch):
    eighth, half = (
        Contrastive(objective="infonce", data=["x"], precision=precision) for precision in ("float8", "bfloat16")
    )
    for gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert is_to_compile(eighth) == gpu and not is_to_compile(half)
        assert is_to_compile(half.model_copy(update={"compile": True}))


def test_fp8_without_its_library_is_one_sentence(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    backbone, _ = load_backbone(folders["bert"], Contract(max_tokens=32))
    stage = Contrastive(objective="infonce", data=["x"], precision="float8")
    with pytest.raises(AscentError, match="float8 needs torchao, which envs/gpu.txt has; install it, or use bfloat16"):
        prepare_backbone(backbone, stage)


def test_fp8_is_near_and_leaves_the_weights_names(folders):
    """Emulated on a CPU; of e4m3's three bits of mantissa, a layer's products keep about two digits."""
    pytest.importorskip("torchao.float8")
    contract = Contract(max_tokens=32)
    backbone, _ = load_backbone(folders["bert"], contract)
    model = EmbeddingModel(backbone, contract)
    inputs = model.inputs([np.array([5, 6, 7, 8]), np.array([9, 10])], 0, "cpu")
    exact, names = model.embed(**inputs), set(backbone.state_dict())
    prepare_backbone(backbone, Contrastive(objective="infonce", data=["x"], precision="float8"))
    found = model.embed(**inputs)
    assert set(backbone.state_dict()) == names
    assert 1e-5 < float(((found - exact).norm() / exact.norm()).detach()) < 0.2
    found.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in backbone.parameters())
