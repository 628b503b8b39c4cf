"""Merged weights are the weighted mean, worked out in float64; models that do not fit are refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ascent.errors import AscentError
from ascent.model.contract import read_contract
from ascent.model.saving import save_like
from ascent.settings.model import Contract
from ascent.settings.stages import Linear, StageSettings
from ascent.settings.validation import check
from ascent.training.stages.linear import average, linear

CONTRACT = Contract(max_tokens=32, prompts={"query": {"default": "q: "}})


def settings(*weights: float) -> StageSettings:
    stage = check(Linear, {"type": "linear", "from": [f"s{i}" for i in range(len(weights))], "weights": list(weights)}, "x")
    return StageSettings(recipe="r", name="merge", stage=stage, contract=CONTRACT)


@pytest.fixture
def parents(tiny_model, tmp_path):
    """Three models of one shape whose weights differ."""
    state = load_file(tiny_model / "model.safetensors")
    draw = torch.Generator().manual_seed(0)
    for index in range(3):
        changed = {name: tensor + torch.randn(tensor.shape, generator=draw) for name, tensor in state.items()}
        (tmp_path / f"s{index}").mkdir()
        save_like(tiny_model, changed, Contract(max_tokens=32), {}, tmp_path / f"s{index}")
    return [tmp_path / f"s{index}" for index in range(3)]


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 3), (0.2, 0.3, 0.5), (7, 7, 7)])
def test_weights_are_the_mean_in_float64(parents, tmp_path, weights):
    linear(settings(*weights), parents[: len(weights)], tmp_path / "merged")
    states = [load_file(parent / "model.safetensors") for parent in parents[: len(weights)]]
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert merged.keys() == states[0].keys()
    for name, tensor in merged.items():
        expected = np.average([state[name].numpy().astype(np.float64) for state in states], axis=0, weights=weights)
        # Rounded once, to the nearest float32.
        np.testing.assert_array_max_ulp(tensor.numpy(), expected.astype(np.float32), maxulp=1)


def test_whole_numbers_are_kept_and_the_type_too():
    states = [{"ids": torch.arange(3), "w": torch.tensor([float(i)], dtype=torch.bfloat16)} for i in (1, 2)]
    merged = average(states, [1, 1])
    assert merged["ids"].tolist() == [0, 1, 2]
    assert merged["w"].dtype == torch.bfloat16
    assert merged["w"].tolist() == [1.5]


def test_the_folder_carries_the_merged_contract_and_its_parents(parents, tmp_path):
    linear(settings(1, 1), parents[:2], tmp_path / "merged")
    contract, document = read_contract(tmp_path / "merged")
    assert contract == CONTRACT
    assert document["history"]["parents"] == [read_contract(parent)[1]["weights_digest"] for parent in parents[:2]]
    assert json.loads((tmp_path / "merged" / "config_sentence_transformers.json").read_text())["prompts"]["query"] == "q: "


@pytest.mark.parametrize(
    "other",
    [{"w": torch.zeros(2, 4)}, {"v": torch.zeros(2, 3)}, {"w": torch.zeros(2, 3), "v": torch.zeros(1)}],
)
def test_models_of_different_shape_are_refused(other):
    with pytest.raises(
        AscentError, match=r"models of different shapes cannot be merged: '[vw]' differs; merge stages of one base"
    ):
        average([{"w": torch.zeros(2, 3)}, other], [1, 1])


def test_parents_with_another_contract_or_tokenizer_are_refused(parents, tmp_path):
    asked = settings(1, 1).model_copy(update={"contract": Contract(max_tokens=16)})
    with pytest.raises(AscentError, match="the model was made with max_tokens = 32, but the recipe says 16"):
        linear(asked, parents[:2], tmp_path / "merged")
    odd = shutil.copytree(parents[1], tmp_path / "odd")
    document = json.loads((odd / "ascent.json").read_text())
    (odd / "ascent.json").write_text(json.dumps(document | {"tokenizer_digest": "0" * 64}))
    with pytest.raises(AscentError, match="have different tokenizers; merge stages of one base model"):
        linear(settings(1, 1), [parents[0], odd], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
