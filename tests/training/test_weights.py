"""Weights that are sharded at the start and gathered at the end: what they are, and what they take of the machine's
memory."""

import ctypes
import shutil
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from ascent.model.unloaded import stored_dtype
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.settings.stages import StageSettings
from support.float64_process import float64_process

pytestmark = pytest.mark.usefixtures("warm_spawn")
LAYERS, WIDTH = 3, 768
M_MMAP_THRESHOLD = -3  # of mallopt


@pytest.fixture(scope="module")
def large(tiny_resource, tmp_path_factory) -> Path:
    """The tiny model's folder with 22 million weights, stored in bfloat16."""
    folder = tmp_path_factory.mktemp("large") / "model"
    shutil.copytree(tiny_resource, folder)
    vocabulary = BertConfig.from_pretrained(tiny_resource).vocab_size
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        intermediate_size=4 * WIDTH,
        num_attention_heads=12,
    )
    torch.manual_seed(0)
    BertModel(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


class Peak:
    """The highest memory of this process, in bytes, above what it has when it enters."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._highest()
        return self

    def __exit__(self, *_):
        self.bytes = self._highest() - self._before

    def _highest(self) -> int:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024


def measure(rank: int, world: int, store: str, folder: str, weights: str, output: str) -> None:
    """In a process of its own: start at ZeRO 3, gather; the peaks of both, and the gathered weights."""
    from ascent.training.engine import deepspeed_config, start_engine
    from ascent.training.weights import load_model, shard, whole_state

    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)  # so that what is freed is given back
    stage = Contrastive(objective="infonce", data=["pairs"], zero=3, weights=weights, betas=[0.9, 0.95], epsilon=1e-6)
    settings = StageSettings(
        recipe="r", name="s", stage=stage, contract=Contract(max_tokens=32), tasks={"pairs": "retrieval"}
    )
    cpu = torch.device("cpu")
    with float64_process(rank, world, store):
        config = deepspeed_config(stage)
        with Peak() as start:
            model, _ = load_model(Path(folder), settings, cpu)
            shard(model, stage, config, cpu)
        engine = start_engine(model, stage, 1, config, cpu)
        with Peak() as gather:
            state = whole_state(engine)
        group = engine.optimizer.param_groups[0]
        adam = group["betas"], group["eps"]
        torch.save({"start": start.bytes, "gather": gather.bytes, "state": state, "adam": adam}, f"{output}.{rank}")
        engine.destroy()


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_zero_3_holds_one_copy_of_the_model_on_one_process(large, tmp_path, weights):
    output = str(tmp_path / "measured")
    arguments = (2, str(tmp_path / "store"), str(large), weights, output)
    multiprocessing.start_processes(measure, arguments, nprocs=2, start_method="spawn")
    first, second = (torch.load(f"{output}.{rank}") for rank in (0, 1))
    stored = {name: tensor.float() for name, tensor in load_file(large / "model.safetensors").items()}
    assert first["state"].keys() == stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in first["state"].items())
    assert not second["state"]
    assert first["adam"] == ((0.9, 0.95), 1e-6)
    whole = sum(tensor.nbytes for tensor in stored.values())  # in float32
    print({key: [round(each[key] / whole, 2) for each in (first, second)] for key in ("start", "gather")})
    share = 0.5 if weights == "float32" else 0.25
    assert second["start"] < (share + 0.4) * whole  # its share, and a weight at a time
    assert first["start"] < (1 + share + 0.25) * whole  # and the file, mapped and copied in 16 bits
    assert second["gather"] < 0.4 * whole
    assert first["gather"] < 1.25 * whole


def test_the_precision_of_a_file_is_that_of_its_weights(large, tiny_resource):
    assert stored_dtype(large) == torch.bfloat16
    assert stored_dtype(tiny_resource) == torch.float32
