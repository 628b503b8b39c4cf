"""Whether stages fit a GPU, the remedies, and what machines are known."""

import re

import pytest

from ascent.errors import AscentError
from ascent.model.shape import Shape
from ascent.planning import gpus, inputs
from ascent.planning.fit import remedies
from ascent.planning.gpus import GPUS, Gpu, Machine, amount
from ascent.settings.contrastive import Contrastive, Queue

# 7 G parameters.
LARGE = Shape(
    parameters=7_000_000_000,
    matrices=6_500_000_000,
    layers=32,
    width=4096,
    queries=4096,
    keys=1024,
    inner=14336,
    gated=True,
    rms=True,
    normed_heads=False,
)


# ---------------------------------------------------------------- warnings


@pytest.fixture
def large(recipe, monkeypatch):
    """Plans of the small recipe with a model of 7 G parameters."""
    monkeypatch.setattr(inputs, "read_shape", lambda folder: LARGE)

    def planned(**settings):
        return recipe(lambda values: values["stages"]["contrastive"].update(settings), gpus=8)

    return planned


@pytest.mark.slow
def test_a_stage_that_does_not_fit_is_warned_of_with_a_remedy(large):
    found = large(zero=1)
    sizes = {zero: amount(memory.total, "B") for zero, memory in found.memory["contrastive"].items()}
    (warning,) = [text for text in found.warnings if "'contrastive'" in text]
    assert (
        warning == f"stage 'contrastive' needs {sizes[1]} per GPU at zero: 1, the h100 has 80 GB; set zero: 2 to need"
        f" {sizes[2]}."
    )
    assert found.memory["contrastive"][2].total < 80e9 < found.memory["contrastive"][1].total


def test_what_is_offloaded_is_told_by_node(large):
    found = large(zero=2, offload_optimizer="cpu")
    # 8 bytes of moments, 4 of weights and 4 of gradients for each parameter, spread over the node.
    assert "Stage contrastive offloads 112 GB to each node's memory or files." in found.notes


@pytest.mark.slow
def test_disk_and_memory_beside_the_gpu_s_are_noted(large):
    whole = [note for note in large(zero=1).notes if note.startswith("Stage contrastive")]
    assert whole == [
        (
            "Stage contrastive writes checkpoints of 112 GB; 336 GB of disk hold two and the one that is being written,"
            " and 112 GB more a conversion for another number of GPUs."
        ),
        (
            "Stage contrastive needs 224 GB of a node's memory to start, as each of its 8 processes loads the model in"
            " float32; at zero: 3 one process loads it for all."
        ),
    ]
    sharded = [note for note in large(zero=3).notes if note.startswith("Stage contrastive")]
    assert len(sharded) == 1
    assert sharded[0].startswith("Stage contrastive writes checkpoints of 84 GB; 252 GB")
    few = large(zero=3, adapter={"type": "lora"}, weights="bfloat16")  # few weights train, so ZeRO 1 would do
    assert [note for note in few.notes if note.startswith("Stage contrastive")] == [
        "Stage contrastive fits at zero: 1, too, where gradients are reduced once a step; at zero: 3, where no process"
        " holds them whole, once a mini-batch."
    ]


def test_what_mining_holds_is_noted_where_it_is_much(recipe, monkeypatch):
    def change(values):
        values["stages"]["finetune"]["mining"] |= {"per_query": 2, "ranks": [0, 9], "reserve": 3, "dynamic": {}}
        values["stages"]["finetune"]["epochs"] = 2

    assert not [note for note in recipe(change, gpus=8).notes if "of numbers" in note]
    monkeypatch.setattr(inputs.Inputs, "times", lambda *_: 1e6)
    found = recipe(change, gpus=8)
    counted = next(re.search(r"questions: (\d+) rows of", note) for note in found.notes if "questions" in note)
    pairs = int(counted[1])
    mining, dynamic = (note for note in found.notes if "of numbers" in note)
    documents = int(re.search(r"each of ([\d,]+) documents", mining)[1].replace(",", "")) // 10**6
    assert 1 <= documents <= pairs
    size = amount((64 * documents + 108 * pairs) * 1e6, "B")
    assert mining.startswith(f"Mining for finetune, questions keeps {size} of numbers in memory, 64 bytes for each of ")
    assert f" 108 for each of {pairs}," in mining
    # In each of 8 processes 13 bytes for each of 2 negatives, and 16 for their row.
    size = amount(8 * (2 * 13 + 16) * pairs * 1e6, "B")
    assert dynamic.startswith(f"Stage finetune keeps {size} of numbers in a node's memory for mining.dynamic, 13 bytes")


def test_a_batch_larger_than_the_data_is_warned_of(recipe):
    def change(values):
        values["stages"]["contrastive"]["batch_size"] = 100_000

    found = recipe(change)
    assert not [
        note for note in found.notes if note.startswith("Stage contrastive")
    ]  # a small model's are not worth a word
    (warning,) = [warning for warning in found.warnings if "batch_size" in warning]
    assert warning.startswith("stages.contrastive.batch_size: 100,000 is more than the ")
    assert warning.endswith(" pairs of its data, so each pass over them is one step or less; lower it.")


def test_a_stage_that_fits_is_not_warned_of(large):
    assert [text for text in large(zero=3).warnings if "'contrastive'" in text] == []


def test_a_stage_that_no_setting_makes_fit_says_so(large, monkeypatch):
    monkeypatch.setitem(GPUS, "h100", Gpu(bfloat16=1e12, float32=1e12, memory=4e9))
    assert "no setting makes it fit: use more GPUs" in "".join(large(zero=1).warnings)


def test_remedies_are_settings_that_the_recipe_accepts():
    stage = Contrastive(objective="infonce", data=["a"], zero=2, mini_batch_tokens=1000)
    changes = remedies(stage, 128)
    assert changes[0] == {"zero": 3}
    assert {"mini_batch_tokens": 250} in changes
    for change in changes:
        Contrastive.model_validate(stage.model_dump(by_alias=True) | change)
    with_queue = stage.model_copy(update={"queue": Queue()})
    for change in remedies(with_queue, 128):
        Contrastive.model_validate(with_queue.model_dump(by_alias=True) | change)


def test_a_batch_that_processes_cannot_share_is_warned_of(recipe):
    found = recipe(gpus=8, nodes=5)  # 32 queries on 40 processes
    assert any(
        "ends with a batch of 20 rows (200 in batches of 32), which 40 processes cannot share" in w
        for w in found.warnings
    )


def test_an_unknown_gpu_is_refused():
    with pytest.raises(AscentError, match=r"unknown GPU 'h1000'; did you mean 'h100'\?"):
        Machine(name="h1000")
    for wrong in ({"gpus": 0}, {"nodes": -1}, {"utilisation": 0}, {"utilisation": 40}):
        with pytest.raises(AscentError, match="set"):
            Machine(**wrong)
    assert set(gpus.GPUS) == {"a100-40", "a100-80", "h100", "h200", "b200", "l40s", "a10g"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (18.24e9, "18.2 GB"), (4.1e15, "4.1 PB"), (1e27, "1e+06 ZB")],
)
def test_amounts(value, text):
    assert amount(value, "B") == text
