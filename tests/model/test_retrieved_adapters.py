"""A retrieved adapter is merged into the model that it adapts, as peft computes it, or refused in one sentence."""

import shutil

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from ascent.errors import AscentError
from ascent.files import read_yaml
from ascent.model.merging import merge_adapter
from ascent.recipes.loading import load_recipes
from ascent.settings.sources import Files
from ascent.sources import retrieve
from support.small_recipe import make_workspace

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def adapted(tiny_resource, tmp_path_factory):
    """A folder with an adapter that changes what the model computes, and the adapted model of peft."""
    folder = tmp_path_factory.mktemp("adapter") / "lora"
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=4, target_modules=["query", "dense"], init_lora_weights=False)
    model = peft.get_peft_model(AutoModel.from_pretrained(tiny_resource), settings).eval()
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture
def lora(adapted, tmp_path):
    return shutil.copytree(adapted[0], tmp_path / "lora")


def states(model, tokenizer) -> torch.Tensor:
    with torch.no_grad():
        return model(
            **tokenizer(["open the file", "a list of strings"], padding=True, return_tensors="pt")
        ).last_hidden_state


@pytest.mark.parametrize("prefix", ["base_model.model.", "base_model.model.bert."])
def test_the_model_made_computes_what_peft_s_does(prefix, lora, adapted, tiny_resource, tmp_path):
    """Also with the names of an adapter that was trained with a head for another task."""
    weights = {
        prefix + name.removeprefix("base_model.model."): tensor for name, tensor in load_file(lora / WEIGHTS).items()
    }
    save_file(weights, lora / WEIGHTS)
    source = Files(type="files", paths=[str(lora)])
    retrieve(source, tmp_path / "model", "models", tmp_path, lambda folder: merge_adapter(folder, tiny_resource))
    assert not list((tmp_path / "model").glob("adapter*"))
    assert (tmp_path / "model" / "provenance.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    found, expected = states(AutoModel.from_pretrained(tmp_path / "model"), tokenizer), states(adapted[1], tokenizer)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - states(AutoModel.from_pretrained(tiny_resource), tokenizer)).abs().max() > 1e-2


def lose(name_part):
    def spoil(folder) -> None:
        state = load_file(folder / WEIGHTS)
        save_file({name: tensor for name, tensor in state.items() if name_part not in name}, folder / WEIGHTS)

    return spoil


def rename(folder) -> None:
    state = load_file(folder / WEIGHTS)
    save_file({name.replace("layer.1", "layer.7"): tensor for name, tensor in state.items()}, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            rename,
            r"lora: base_model\.model\.encoder\.layer\.7\..* is a weight of the adapter or of .*, but not of both",
        ),
        (
            lose("layer.1.attention.self.query.lora_B"),
            r"lora: .*layer\.1\.attention\.self\.query\.lora_B.*, but not of both",
        ),
        (
            lambda folder: (folder / WEIGHTS).write_bytes(b"short"),
            r"adapter_model\.safetensors: not a whole safetensors file",
        ),
        (
            lambda folder: (folder / WEIGHTS).unlink(),
            r"lora: has no adapter_model\.safetensors, but adapter_of says that it is",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_as_a_whole_is_refused(spoil, message, lora, tiny_resource):
    spoil(lora)
    with pytest.raises(AscentError, match=message):
        merge_adapter(lora, tiny_resource)


def test_an_adapter_of_another_architecture_is_refused(lora, decoder_resource):
    with pytest.raises(
        AscentError, match=r"lora: the adapter does not fit .*llama \(.*\); name what it adapts in adapter_of"
    ):
        merge_adapter(lora, decoder_resource)


@pytest.mark.parametrize("adapter_of", ["tinny", "other"])
def test_an_adapter_adapts_a_whole_model(tmp_path, adapter_of):
    config = read_yaml(make_workspace(tmp_path))
    config["models"]["other"] = config["models"]["tiny"] | {"adapter_of": adapter_of}
    with pytest.raises(
        AscentError, match=rf"'models\.other\.adapter_of' names '{adapter_of}', which is not a whole model; "
    ):
        load_recipes(config)
