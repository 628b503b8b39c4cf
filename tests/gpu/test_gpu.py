"""What needs a GPU: `make gpu-test PYTHON=...` runs the tests that are marked so, and `make test` skips them without
one.

Packed against padded attention on a GPU is in test_packing.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from ascent.model.adapters.qlora import from_four_bits, to_four_bits
from ascent.model.backbone import load_backbone
from ascent.model.embedding_model import EmbeddingModel
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.settings.stages import StageSettings
from ascent.training.job.checkpoints import place_steps
from ascent.training.throughput import matmul_peak

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "train_throughput.py"


@pytest.fixture
def gpu_run(launch, training_tokens, training_contract, tiny_model, tmp_path):
    """Train a few steps with some settings; return the metrics."""

    def _run(name: str, **changes) -> list[dict]:
        asked = {
            "objective": "infonce",
            "data": ["questions"],
            "batch_size": 11,
            "epochs": 5,
            "learning_rate": 1e-3,
        } | changes
        same = {"contract": training_contract, "tasks": {"questions": "retrieval"}}
        settings = StageSettings(recipe="r", name="s", stage=Contrastive(**asked), **same)
        process = launch(tmp_path / name, settings, parent=tiny_model, tokens=training_tokens)
        assert process.wait() == 0, (tmp_path / name / "log").read_text()
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    return _run


def test_the_tiled_loss_of_a_million_rows():
    """In less than 24 GB, with the value of single rows as float64 gives it."""
    rows, dimension, temperature = 1_000_000, 256, 0.05
    draw = torch.Generator(device="cuda").manual_seed(0)
    queries, documents = (
        torch.nn.functional.normalize(torch.randn(rows, dimension, device="cuda", generator=draw), dim=-1)
        for _ in range(2)
    )
    documents = torch.nn.functional.normalize(documents + queries, dim=-1)
    ids = torch.arange(rows, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    batch = Embedded(
        queries=queries.requires_grad_(),
        documents=documents.requires_grad_(),
        row_of_document=ids,
        document_ids=ids,
        answers=ids[:, None],
        groups=torch.zeros_like(ids),
        labels=torch.zeros(rows, device="cuda"),
        dataset_index=torch.zeros_like(ids),
        numbers=ids,
        weights=torch.ones(rows, device="cuda"),
    )
    losses = infonce(batch, temperature=temperature, symmetric=False)
    losses.mean().backward()
    print(f"a million rows: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    assert torch.cuda.max_memory_allocated() < 24 * 2**30
    for row in (0, 1234, rows - 1):
        scores = documents.detach().double() @ queries[row].detach().double() / temperature
        expected = torch.logsumexp(scores, 0) - scores[row]
        assert float(losses[row].detach()) == pytest.approx(float(expected), abs=1e-4)
        weights = torch.softmax(scores, 0)
        weights[row] -= 1
        gradient = (weights @ documents.detach().double()) / temperature / rows
        torch.testing.assert_close(queries.grad[row].double(), gradient, rtol=1e-3, atol=1e-11)


@pytest.mark.parametrize(
    "settings", [{"offload_optimizer": "cpu"}, {"offload_optimizer": "cpu", "offload_weights": "cpu"}]
)
def test_zero_with_offload_trains_as_without(settings, gpu_run):
    plain = gpu_run("plain", zero=3, precision="float32")
    away = gpu_run("offload", zero=3, precision="float32", **settings)
    assert [line["loss"] for line in away] == pytest.approx([line["loss"] for line in plain], rel=1e-3)


def test_the_fused_adamw_takes_step_counters_that_were_placed_and_no_others():
    """A checkpoint in DeepSpeed's universal form leaves them on the CPU."""
    weight = torch.nn.Parameter(torch.ones(4, device="cuda"))
    optimizer = torch.optim.AdamW([weight], fused=True)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    optimizer.state[weight]["step"] = optimizer.state[weight]["step"].cpu()
    with pytest.raises(RuntimeError):
        optimizer.step()
    place_steps(optimizer)
    optimizer.step()
    assert float(optimizer.state[weight]["step"]) >= 2


def test_bfloat16_follows_float32(gpu_run):
    exact, half = gpu_run("float32", precision="float32"), gpu_run("bfloat16", precision="bfloat16")
    assert half[-1]["loss"] < 0.9 * half[0]["loss"]
    assert half[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.1)


def test_float8_follows_bfloat16(gpu_run):
    pytest.importorskip("torchao")
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("FP8 needs Ada, Hopper or later")
    half, eighth = gpu_run("bfloat16", precision="bfloat16"), gpu_run("float8", precision="float8")
    assert eighth[-1]["loss"] == pytest.approx(half[-1]["loss"], rel=0.2)


def test_compiled_is_as_eager(gpu_run):
    eager, compiled = gpu_run("eager", precision="float32"), gpu_run("compiled", precision="float32", compile=True)
    assert [line["loss"] for line in compiled] == pytest.approx([line["loss"] for line in eager], rel=1e-3)


def test_qlora_learns_and_its_merged_folder_is_checked(gpu_run):
    """The stage itself compares the merged folder's embeddings with the adapter's."""
    pytest.importorskip("bitsandbytes")
    adapter = {"type": "qlora", "rank": 8, "dropout": 0}
    lines = gpu_run("qlora", precision="bfloat16", adapter=adapter, learning_rate=5e-3)
    whole = gpu_run("lora", precision="bfloat16", adapter=adapter | {"type": "lora"}, learning_rate=5e-3)
    assert lines[-1]["loss"] < 0.95 * lines[0]["loss"]
    assert lines[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=0.1)


def test_the_rounded_weights_are_those_that_qlora_computes_with(tiny_model):
    """The layers in 4 bits, and the plain ones that take their place when the adapter is merged."""
    pytest.importorskip("bitsandbytes")
    contract = Contract(max_tokens=32)
    states = []
    for plain in (False, True):
        backbone, _ = load_backbone(tiny_model, contract)
        before = backbone.encoder.layer[0].output.dense.weight.detach().clone()
        to_four_bits(backbone, "here")
        if plain:
            from_four_bits(backbone)
            difference = (backbone.encoder.layer[0].output.dense.weight - before).abs().max()
            assert 0 < float(difference) < 0.1 * float(before.abs().max())
        model = EmbeddingModel(backbone, contract).cuda().eval()
        with torch.no_grad():
            states.append(model.embed(**model.inputs([np.array([2, 5, 6, 3])], 0, "cuda")))
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=1e-5)


def test_the_metrics_know_the_gpu(gpu_run):
    line = gpu_run("metrics", precision="bfloat16")[-1]
    assert 0 < line["mfu"] < 1
    assert matmul_peak(torch.device("cuda"), torch.bfloat16) > 1e13


def test_throughput(tiny_model, training_pairs, tmp_path):
    """Prints pairs/s beside sentence-transformers; a model and data that matter are given to the benchmark by hand."""
    command = [
        sys.executable,
        BENCHMARK,
        "--model",
        tiny_model,
        "--pairs",
        training_pairs,
        "--rounds",
        "2",
        "--batch",
        "16",
    ]
    command += [
        "--max-tokens",
        "32",
        "--output",
        tmp_path / "speed.json",
        "--libraries",
        "ascent",
        "sentence-transformers",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {line["library"] for line in json.loads((tmp_path / "speed.json").read_text())} >= {"ascent"}
