"""Heads: new ones are the same each time, trained ones survive every folder, and sentence-transformers computes what we
do."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from ascent.errors import AscentError
from ascent.model.contract import read_contract, weights_digest
from ascent.model.encoder import Encoder
from ascent.model.heads import load_heads, new_heads, read_state
from ascent.model.heads.latent_attention import LatentAttention
from ascent.model.saving import save_like, save_new
from ascent.pairs.table import Pair
from ascent.release.parity import check_outputs
from ascent.settings.base import components
from ascent.settings.heads import Head
from ascent.settings.merging import Bfloat16, Linear
from ascent.settings.model import Contract
from ascent.settings.stages import StageSettings
from ascent.settings.validation import check
from ascent.training.merging import merge
from support import reference_losses

PROJECTION = {"projection": {"dimension": 12, "bias": True}}
LATENT = {"latent_attention": {"latents": 6, "heads": 4}}
CASES = {"projection": PROJECTION, "latent_attention": LATENT, "both": LATENT | PROJECTION}


def adopted(resource, folder, contract):
    folder.mkdir(parents=True)
    save_new(resource, contract, {}, folder)
    return folder


def plain(folder, contract) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=contract.heads.need_code)


@pytest.fixture(scope="module")
def texts(corpus_rows):
    return [row["positive"] for row in corpus_rows[:12]] + ["", "open"]


@pytest.fixture(scope="module")
def folders(tiny_resource, training_contract, tmp_path_factory):
    """Model folders whose heads' weights are drawn, since a new latent attention does nothing, and a new bias is
    zero."""
    found, draw = {}, torch.Generator().manual_seed(0)
    for name, heads in CASES.items():
        contract = check(Contract, training_contract.model_dump() | {"heads": heads}, "x")
        parent, folder = (tmp_path_factory.mktemp(name) / part for part in ("parent", "model"))
        adopted(tiny_resource, parent, contract)
        state = read_state(parent, contract)
        drawn = {key: torch.randn(t.shape, generator=draw) / 4 for key, t in state.items() if key.startswith("heads.")}
        save_like(parent, state | drawn, contract, {}, folder)
        found[name] = (folder, contract)
    return found


def test_every_head_has_a_case():
    within = {
        name for name, head in components(Head).items() if not head.per_token
    }  # the others: test_token_outputs.py
    assert within <= CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_sentence_transformers_gives_the_same_embeddings(folders, texts, case):
    folder, contract = folders[case]
    encoder = Encoder(folder, precision="float32", tokens_per_batch=64)
    ours = encoder.encode(texts, side="query", task="retrieval")
    assert ours.shape[1] == encoder.model.dimension == (32 if case == "latent_attention" else 12)
    np.testing.assert_allclose(ours, plain(folder, contract).encode_query(texts, batch_size=5), rtol=0, atol=1e-5)
    check_outputs(folder, encoder, plain(folder, contract))
    without = Contract(**contract.model_dump(exclude={"heads"}))
    encoder.model.heads, encoder.model.contract = torch.nn.ModuleDict(), without
    headless = encoder.encode(texts, side="query", task="retrieval")
    assert headless.shape != ours.shape or np.abs(headless - ours).max() > 1e-2


def test_code_of_a_folder_is_trusted_by_nobody_who_does_not_say_so(folders, texts, tmp_path):
    folder, contract = folders["latent_attention"]
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        SentenceTransformer(str(folder), device="cpu")
    spoiled = shutil.copytree(folder, tmp_path / "spoiled")
    (spoiled / "latent_attention.py").write_text("raise SystemExit('run')")
    encoders = [Encoder(path, precision="float32") for path in (folder, spoiled)]
    assert np.array_equal(*(encoder.encode(texts, side="query", task="sts") for encoder in encoders))
    # What is made of it has our code again.
    save_like(spoiled, read_state(spoiled, contract), contract, {}, tmp_path / "next")
    assert (tmp_path / "next" / "latent_attention.py").read_text() == (folder / "latent_attention.py").read_text()


def test_latent_attention_is_its_formula():
    """Against loops over tokens, heads and latents in float64."""
    torch.manual_seed(0)
    head = LatentAttention(8, latents=5, heads=2).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    states = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    expected = reference_losses.latent_attention(states, dict(head.named_parameters()), heads=2)
    found = head({"token_embeddings": states[None]})["token_embeddings"]
    torch.testing.assert_close(found[0], expected)
    assert torch.autograd.gradcheck(lambda x: head({"token_embeddings": x})["token_embeddings"], states)


def test_new_heads_are_the_same_each_time_and_gentle():
    contract = Contract(heads={"latent_attention": {"heads": 4}, "projection": {"dimension": 12}})
    one, two = new_heads(contract, 32), new_heads(contract, 32)
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    matrix = one["projection"].linear.weight.detach()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(12), atol=1e-5, rtol=0)
    states = torch.randn(3, 32)
    assert torch.equal(one["latent_attention"]({"token_embeddings": states})["token_embeddings"], states)
    assert one["latent_attention"].array.shape == (512, 32)


def test_a_head_that_does_not_fit_is_one_sentence(tiny_resource, tmp_path):
    with pytest.raises(
        AscentError, match=r"heads\.latent_attention: 5 heads do not divide the backbone's 32 dimensions; give a"
    ):
        adopted(tiny_resource, tmp_path / "model", Contract(max_tokens=32, heads={"latent_attention": {"heads": 5}}))


def test_a_base_keeps_a_head_that_it_has(folders, tmp_path):
    folder, contract = folders["both"]
    again = adopted(folder, tmp_path / "again", contract)
    states = [read_state(path, contract) for path in (folder, again)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = check(Contract, contract.model_dump() | {"heads": LATENT | {"projection": {"dimension": 9}}}, "x")
    with pytest.raises(
        AscentError, match=r"model\.safetensors: 'linear\.\w+' is missing, or its shape differs from the recipe's"
    ):
        adopted(folder, tmp_path / "other", other)


def test_a_layer_of_the_base_is_not_lost_in_silence(folders, tiny_resource, tmp_path):
    transformer = Transformer(str(tiny_resource), max_seq_length=32)
    dense = Dense(32, 8, activation_function=torch.nn.Tanh())
    SentenceTransformer(modules=[transformer, Pooling(32, "mean"), dense], device="cpu").save(str(tmp_path / "theirs"))
    with pytest.raises(
        AscentError, match=r"modules.json: the model has a layer \(2_Dense\) that the recipe's heads do not name"
    ):
        adopted(tmp_path / "theirs", tmp_path / "one", Contract(max_tokens=32))
    folder, contract = folders["projection"]
    with pytest.raises(AscentError, match=r"would be lost; name it, heads\.projection, if Ascent made it"):
        adopted(folder, tmp_path / "two", Contract(**contract.model_dump(exclude={"heads"})))


def test_a_folder_without_the_head_is_refused(tiny_model):
    with pytest.raises(
        AscentError, match="model: has no head 'projection'; remove it from the recipe's heads, or rebuild the"
    ):
        load_heads(tiny_model, Contract(heads={"projection": {"dimension": 4}}), 32)


@pytest.mark.parametrize(("case", "path"), [("projection", "2_Dense"), ("latent_attention", "1_LatentAttention")])
def test_weights_of_a_head_count_in_the_digest(folders, tmp_path, case, path):
    copied = shutil.copytree(folders[case][0], tmp_path / "copied")
    file = copied / path / "model.safetensors"
    before = weights_digest(copied)
    save_file({name: tensor + 1e-3 for name, tensor in load_file(file).items()}, file)
    assert weights_digest(copied) != before
    with pytest.raises(AscentError, match=r"the weights are not those that ascent\.json was written for"):
        Encoder(copied)
    assert read_contract(copied, weights=False) == read_contract(
        folders[case][0]
    )  # where another process compares them


# With a development split the best weights come back from their file; ZeRO 3 and bfloat16 weights are gathered.
WAYS = {
    "development": {"development": {"data": "held", "every_steps": 5}},
    "zero 3": {"zero": 3},
    "bfloat16": {"weights": "bfloat16", "precision": "bfloat16", "zero": 1},
    "adapter": {"adapter": {"type": "lora", "rank": 4, "dropout": 0}, "zero": 2, "dropout": 0, "learning_rate": 1e-2},
}


@pytest.fixture(scope="module")
def held(corpus_rows, training_rows, tokens_of):
    known = {row.query for row in training_rows}
    return tokens_of([Pair(row["query"], row["positive"]) for row in corpus_rows if row["query"] not in known][:20])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_heads_are_trained_and_read_back(folders, train_here, held, texts, tmp_path, case, way):
    parent, contract = folders[case]
    settings = {
        "precision": "float32",
        "batch_size": 44,
        "epochs": 10,
        "learning_rate": 3e-3,
        "matryoshka": {8: 1.0},
    } | WAYS[way]
    lines = train_here(parent, contract, more={"held": held} if way == "development" else None, **settings)
    # An adapter's few weights are slower.
    assert lines[-1]["loss"] < (0.97 if way == "adapter" else 0.8) * lines[0]["loss"]
    folder = tmp_path / "run" / "model"
    before, after = read_state(parent, contract), read_state(folder, contract)
    assert before.keys() == after.keys()
    assert not [name for name in after if name.startswith("heads.") and torch.equal(after[name], before[name])]
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    ours = Encoder(folder, precision="float32").encode(texts, side="query", task="retrieval")
    np.testing.assert_allclose(ours, plain(folder, contract).encode_query(texts), rtol=0, atol=1e-5)


def test_a_prefix_longer_than_the_projection_is_refused(folders, train_here):
    with pytest.raises(AscentError, match="matryoshka: 16 is larger than the model's 12 dimensions"):
        train_here(*folders["projection"], matryoshka={16: 1.0})


@pytest.mark.parametrize("case", CASES)
def test_merged_heads_are_the_mean(folders, tmp_path, case):
    folder, contract = folders[case]
    state = read_state(folder, contract)
    save_like(folder, {name: tensor + 1 for name, tensor in state.items()}, contract, {}, tmp_path / "other")
    stage = check(Linear, {"type": "linear", "from": ["a", "b"], "weights": [3, 1]}, "x")
    settings = StageSettings(recipe="r", name="merge", stage=stage, contract=contract)
    merge(settings, [folder, tmp_path / "other"], tmp_path / "merged")
    found = read_state(tmp_path / "merged", contract)
    assert found.keys() == state.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, state[name] + 0.25)
    assert read_contract(tmp_path / "merged")[0] == contract


@pytest.mark.parametrize("case", CASES)
def test_rounded_heads_are_what_others_load(folders, tmp_path, case):
    folder, contract = folders[case]
    stage = check(Bfloat16, {"type": "bfloat16", "from": ["a"]}, "x")
    merge(StageSettings(recipe="r", name="rounded", stage=stage, contract=contract), [folder], tmp_path / "rounded")
    assert {tensor.dtype for tensor in read_state(tmp_path / "rounded", contract).values()} == {torch.bfloat16}
    encoder = Encoder(tmp_path / "rounded", precision="float32")
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.float32}
    check_outputs(tmp_path / "rounded", encoder, plain(tmp_path / "rounded", contract))


def test_settings_files_hold_the_chosen_heads_only():
    contract = check(Contract, {"heads": {"latent_attention": None}}, "x")
    assert contract.model_dump(mode="json")["heads"] == {"latent_attention": {"latents": 512, "heads": 8}}
    assert Contract().model_dump(mode="json")["heads"] == {}
    with pytest.raises(AscentError, match="recipe: unknown key 'heads.projektion'; did you mean 'projection'"):
        check(Contract, {"heads": {"projektion": {"dimension": 4}}}, "recipe")


def test_modules_are_named(folders):
    folder, _ = folders["both"]
    modules = [
        (module["name"], module["path"], module["type"]) for module in json.loads((folder / "modules.json").read_text())
    ]
    assert [name for name, _, _ in modules] == ["0", "latent_attention", "2", "projection", "4"]
    assert modules[1][1:] == ("1_LatentAttention", "latent_attention.LatentAttention")
    assert modules[3][1] == "3_Dense"
    assert modules[3][2].startswith("sentence_transformers.")
