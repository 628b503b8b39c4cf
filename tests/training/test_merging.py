"""Merged weights against formulas written otherwise, in float64; models that do not fit are refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.spatial import geometric_slerp
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, T5EncoderModel

from ascent.errors import AscentError
from ascent.model.backbone import load_backbone
from ascent.model.contract import read_contract
from ascent.model.encoder import Encoder
from ascent.model.saving import save_like, save_new
from ascent.release.parity import check_outputs
from ascent.settings.model import Contract
from ascent.settings.stages import AnyStage, StageSettings
from ascent.settings.validation import check
from ascent.training.merging import Parents, merge
from ascent.training.stages.linear import linear
from ascent.training.stages.slerp import slerp

CONTRACT = Contract(max_tokens=32, prompts={"query": {"default": "q: "}})


def settings(kind: str, count: int, **more) -> StageSettings:
    stage = {"type": kind, "from": [f"s{i}" for i in range(count)]} | more
    values = {"recipe": "r", "name": "merge", "stage": stage, "contract": CONTRACT.model_dump()}
    return check(StageSettings, values, "x")


@pytest.fixture(scope="module")
def parents(tiny_model, tmp_path_factory):
    """Three models of one shape whose weights differ."""
    folder, state = tmp_path_factory.mktemp("parents"), load_file(tiny_model / "model.safetensors")
    draw = torch.Generator().manual_seed(0)
    for index in range(3):
        changed = {name: tensor + torch.randn(tensor.shape, generator=draw) for name, tensor in state.items()}
        (folder / f"s{index}").mkdir()
        save_like(tiny_model, changed, Contract(max_tokens=32), {}, folder / f"s{index}")
    return [folder / f"s{index}" for index in range(3)]


def states(folders) -> list[dict[str, np.ndarray]]:
    return [
        {name: t.numpy().astype(np.float64) for name, t in load_file(f / "model.safetensors").items()} for f in folders
    ]


@pytest.mark.parametrize("weights", [[0.5, 0.5], [1, 3], [0.2, 0.3, 0.5], [7, 7, 7], "uniform"])
def test_weights_are_the_mean_in_float64(parents, tmp_path, weights):
    folders = parents[: len(weights)] if isinstance(weights, list) else parents
    merge(settings("linear", len(folders), weights=weights), folders, tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert merged.keys() == states(folders)[0].keys()
    for name, tensor in merged.items():
        given = [state[name] for state in states(folders)]
        expected = np.average(given, axis=0, weights=weights if isinstance(weights, list) else None)
        # Rounded once, to the nearest float32.
        np.testing.assert_array_max_ulp(tensor.numpy(), expected.astype(np.float32), maxulp=1)


def on_the_arc(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    """The point on the arc by a rotation in the plane of both, with lengths that are those of its two parts."""
    a, b = np.linalg.norm(first), np.linalg.norm(second)
    u, v = first.ravel() / a, second.ravel() / b
    across = v - (v @ u) * u
    across /= np.linalg.norm(across)
    angle = np.arctan2(v @ across, v @ u)
    x, y = np.cos(t * angle), np.sin(t * angle)  # of the unit vector at t: x u + y across
    share = y / np.sin(angle)  # of v in it; the rest is u's
    return ((x - share * np.cos(angle)) * first.ravel() + share * second.ravel()).reshape(first.shape)


@pytest.mark.parametrize("weights", [[0.5, 0.5], [3, 1], [0.2, 0.3, 0.5]])
def test_slerp_is_a_rotation_in_the_plane_of_two(parents, tmp_path, weights):
    folders = parents[: len(weights)]
    merge(settings("slerp", len(folders), weights=weights), folders, tmp_path / "slerp")
    merge(settings("linear", len(folders), weights=weights), folders, tmp_path / "linear")
    merged, mean = (load_file(tmp_path / kind / "model.safetensors") for kind in ("slerp", "linear"))
    for name, tensor in merged.items():
        expected, total = states(folders)[0][name], weights[0]
        for state, weight in zip(states(folders[1:]), weights[1:], strict=True):
            total += weight
            expected = on_the_arc(expected, state[name], weight / total)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=2e-7, atol=1e-9)
        assert tensor.norm() > mean[name].norm() * 1.01  # the mean cuts the corner


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("apart", [2.0, 0.1, 1e-3])
def test_slerp_of_unit_vectors_is_scipy_s(t, apart):
    draw = np.random.default_rng(0)
    first = draw.normal(size=12)
    first /= np.linalg.norm(first)
    second = first + apart * draw.normal(size=12)
    second /= np.linalg.norm(second)
    found = slerp([torch.from_numpy(first), torch.from_numpy(second)], [1 - t, t], None)
    np.testing.assert_allclose(found, geometric_slerp(first, second, [t])[0], rtol=0, atol=1e-9)
    assert found.norm() == pytest.approx(1, abs=1e-12)


def test_parallel_opposite_and_empty_tensors_are_taken_straight():
    tensor = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for other in (2 * tensor, -3 * tensor, 0 * tensor, tensor * (1 + 1e-9), torch.zeros(5, dtype=torch.float64)):
        found = slerp([tensor, other], [0.3, 0.7], None)
        torch.testing.assert_close(found, linear([tensor, other], [0.3, 0.7], None), rtol=1e-12, atol=0)


def test_the_straight_way_is_taken_only_where_float32_sees_no_other(monkeypatch):
    """At the largest angle for which the mean is taken, it is the point on the arc to a part in 1e8."""
    u, across = torch.eye(4, dtype=torch.float64)[:2]
    other = np.cos(0.99e-4) * u + np.sin(0.99e-4) * across
    arc, straight = on_the_arc(u.numpy(), other.numpy(), 0.5), slerp([u, other], [0.5, 0.5], None).numpy()
    assert 0 < np.abs(arc - straight).max() < 1e-8


def test_one_parent_s_tensors_are_read_at_a_time(parents, monkeypatch):
    """However large the models: what lives while one tensor is merged is that tensor of each parent."""
    opened, alive = Parents(settings("linear", 3), parents), []
    for model in opened.models:
        read = type(model).__getitem__
    monkeypatch.setattr(type(model), "__getitem__", lambda self, name: alive.append(name) or read(self, name))
    names = []
    for name, _ in opened.merged([0.5, 0.25, 0.25]):
        assert alive == [name] * 3
        alive.clear()
        names.append(name)
    assert names == opened.names
    assert alive == []


def test_a_parent_without_weight_is_left_out(parents, tmp_path):
    merge(settings("slerp", 3), parents, tmp_path / "merged", [0, 1, 0])
    assert (tmp_path / "merged/model.safetensors").read_bytes() == (parents[1] / "model.safetensors").read_bytes()


def test_the_folder_carries_the_merged_contract_its_parents_and_their_weights(parents, tmp_path):
    merge(settings("linear", 2, weights=[1, 3]), parents[:2], tmp_path / "merged")
    contract, document = read_contract(tmp_path / "merged")
    assert contract == CONTRACT
    assert document["history"]["parents"] == [read_contract(parent)[1]["weights_digest"] for parent in parents[:2]]
    assert document["history"]["weights"] == [0.25, 0.75]
    assert (
        json.loads((tmp_path / "merged" / "config_sentence_transformers.json").read_text())["prompts"]["query"] == "q: "
    )


def test_rounded_weights_are_half_as_large_and_what_others_load(parents, tmp_path, corpus_rows):
    merge(settings("bfloat16", 1), parents[:1], tmp_path / "rounded")
    before, after = load_file(parents[0] / "model.safetensors"), load_file(tmp_path / "rounded/model.safetensors")
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (parents[0], tmp_path / "rounded")]
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.05)
    by_hand = {name: torch.from_numpy(rounded(tensor.numpy())) for name, tensor in before.items()}
    assert all(torch.equal(after[name].float(), by_hand[name]) for name in before)
    # In float32 the folder embeds as one that has the same numbers in float32, here and in sentence-transformers.
    (tmp_path / "same").mkdir()
    save_like(parents[0], by_hand, CONTRACT, {}, tmp_path / "same")
    texts = [row["query"] for row in corpus_rows[:8]]
    same, small = (Encoder(tmp_path / name, precision="float32") for name in ("same", "rounded"))
    found = small.encode(texts, side="query", task="retrieval")
    assert np.array_equal(found, same.encode(texts, side="query", task="retrieval"))
    whole = Encoder(parents[0], precision="float32").encode(
        [f"q: {text}" for text in texts], side="query", task="retrieval"
    )
    assert 0 < np.abs(found - whole).max() < 0.1
    plain = SentenceTransformer(str(tmp_path / "rounded"), device="cpu")
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float32}
    check_outputs(tmp_path / "rounded", small, plain)


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest numbers with 8 bits of precision, ties to even."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent).astype(np.float32)


def test_whole_numbers_are_kept_and_the_widest_type_too(parents, monkeypatch):
    opened = Parents(settings("linear", 2), parents[:2])
    states = [{"ids": torch.arange(3), "w": torch.tensor([float(i)], dtype=torch.bfloat16)} for i in (1, 2)]
    monkeypatch.setattr(opened, "models", states)
    monkeypatch.setattr(opened, "names", ["ids", "w"])
    merged = dict(opened.merged([0.5, 0.5]))
    assert merged["ids"].tolist() == [0, 1, 2]
    assert (merged["w"].dtype, merged["w"].tolist()) == (torch.bfloat16, [1.5])
    states[1]["w"] = states[1]["w"].float()
    assert dict(opened.merged([0.5, 0.5]))["w"].dtype == torch.float32


@pytest.mark.parametrize(
    "other",
    [lambda state: state | {"v": torch.zeros(1)}, lambda state: dict(list(state.items())[1:])],
    ids=["more", "fewer"],
)
def test_models_of_different_shape_are_refused(parents, tmp_path, other):
    odd = tmp_path / "odd"
    odd.mkdir()
    save_like(parents[1], other(load_file(parents[1] / "model.safetensors")), Contract(max_tokens=32), {}, odd)
    with pytest.raises(AscentError, match=r"differ in '[\w.]+', of which one has none or another shape; merge"):
        merge(settings("linear", 2), [parents[0], odd], tmp_path / "merged")


def test_a_tied_tensor_that_only_a_trained_stage_stores_is_no_difference(tiny_resource, tmp_path, corpus_rows):
    """T5's embeddings: transformers writes them once, training under both of their names."""
    resource, base = tmp_path / "t5", tmp_path / "base"
    for folder in (resource, base, tmp_path / "trained"):
        folder.mkdir()
    for file in tiny_resource.glob("*token*"):
        shutil.copy(file, resource)
    torch.manual_seed(0)
    shape = {
        "vocab_size": 2000,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "pad_token_id": 0,
    }
    T5EncoderModel(AutoConfig.for_model("t5", **shape)).save_pretrained(resource)
    contract = Contract(max_tokens=32)
    save_new(resource, contract, {}, base)
    backbone, _ = load_backbone(base, contract)
    trained = {name: tensor.detach() * 1.5 for name, tensor in backbone.state_dict().items()}
    save_like(base, trained, contract, {}, tmp_path / "trained")
    stored = [set(load_file(folder / "model.safetensors")) for folder in (base, tmp_path / "trained")]
    assert stored[1] - stored[0] == {"encoder.embed_tokens.weight"}
    asked = settings("linear", 2).model_copy(update={"contract": contract})
    merge(asked, [tmp_path / "trained", base], tmp_path / "merged")
    merged, _ = load_backbone(tmp_path / "merged", contract)
    for name, tensor in merged.state_dict().items():
        torch.testing.assert_close(tensor, backbone.state_dict()[name] * 1.25)


def test_parents_with_another_contract_or_tokenizer_are_refused(parents, tmp_path):
    asked = settings("linear", 2).model_copy(update={"contract": Contract(max_tokens=16)})
    with pytest.raises(AscentError, match="the model was made with max_tokens = 32, but the recipe says 16"):
        merge(asked, parents[:2], tmp_path / "merged")
    odd = shutil.copytree(parents[1], tmp_path / "odd")
    document = json.loads((odd / "ascent.json").read_text())
    (odd / "ascent.json").write_text(json.dumps(document | {"tokenizer_digest": "0" * 64}))
    with pytest.raises(AscentError, match="have different tokenizers; merge stages of one base model"):
        merge(settings("linear", 2), [parents[0], odd], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_mergekit_is_asked_for_where_it_is_missing(parents, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mergekit", None)
    asked = settings("mergekit", 2, method="karcher")
    with pytest.raises(
        AscentError, match=r"needs the package mergekit, .* run pip install 'mergekit>=0\.1\.5', or use"
    ):
        merge(asked, parents[:2], tmp_path / "merged")


@pytest.mark.parametrize(
    "stage",
    [
        {"method": "karcher"},
        {"method": "ties", "base": "s0", "parameters": {"density": 0.5, "weight": [0.7, 0.2]}},
        {"method": "model_stock", "base": "s1"},
        {"method": "linear", "parameters": {"weight": [1.0, 2.0, 3.0]}},
    ],
    ids=lambda stage: stage["method"],
)
def test_mergekit_s_methods_are_sentence_transformers_merge(parents, tmp_path, stage):
    pytest.importorskip("mergekit", reason="an option: pip install 'mergekit>=0.1.5'")
    merge(settings("mergekit", 3, **stage), parents, tmp_path / "merged")
    base = {"base_model": str(parents[int(stage["base"][1])])} if "base" in stage else {}
    theirs = SentenceTransformer.merge(
        [str(parent) for parent in parents], stage["method"], parameters=stage.get("parameters"), device="cpu", **base
    )
    merged, expected = load_file(tmp_path / "merged/model.safetensors"), theirs[0].auto_model.state_dict()
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_mergekit_s_refusals_are_one_sentence(parents, tmp_path):
    pytest.importorskip("mergekit", reason="an option: pip install 'mergekit>=0.1.5'")
    for method in ("nothing", "slerp"):  # no method; a method of two models
        with pytest.raises(
            AscentError, match=rf"mergekit refuses method {method} here \(.*\); fix the stage's settings\."
        ):
            merge(settings("mergekit", 3, method=method), parents, tmp_path / "merged")


def test_every_kind_reads_its_settings_again():
    for kind in ("linear", "slerp", "bfloat16", "mergekit"):
        count = 1 if kind == "bfloat16" else 2
        stage: AnyStage = settings(kind, count, **({"method": "ties"} if kind == "mergekit" else {})).stage
        assert stage.rule == "merge" and stage.summary and stage.shares == [1 / count] * count
