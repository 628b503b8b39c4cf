"""What passes over a batch's mini-batches cost besides their FLOPs: copies to the device, and waits for it."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel

from ascent.model.batching import Texts
from ascent.model.embedding_model import EmbeddingModel, pool
from ascent.model.packing import NAME
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.training import gradient_cache
from support.tiny_models import ENCODERS


class Copies(TorchDispatchMode):
    """Counts the copies between devices."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        out = function(*arguments, **(options or {}))
        given = [x.device for x in arguments if isinstance(x, torch.Tensor)]
        if isinstance(out, torch.Tensor) and given and out.device not in given:
            self.count += 1
        return out


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [0, 2])
@pytest.mark.parametrize("multiple", [1, 16])
def test_texts_are_copied_once_a_step_and_nothing_waits(monkeypatch, prompts, multiple):
    """On tensors without values: to read one, as a wait for a GPU does, is an error. (Of padded rows, transformers
    itself reads whether any is padded.)"""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # autocast knows no such device
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    # Nor has it this kernel.
    monkeypatch.setattr(torch, "segment_reduce", lambda states, *_, lengths, unsafe: states[: len(lengths)])
    monkeypatch.setattr(gradient_cache, "largest", lambda *values, device: list(values))
    monkeypatch.setattr(gradient_cache, "seed_pass", lambda *_: None)
    device = torch.device("meta")
    with device:
        config = AutoConfig.for_model("bert", **ENCODERS["bert"])
        backbone = AutoModel.from_config(config, attn_implementation=NAME, dtype=torch.bfloat16)
    model = EmbeddingModel(backbone, Contract(max_tokens=32, pooling="mean"), multiple=multiple)
    draw = np.random.default_rng(0)
    tokens = Texts.of([draw.integers(5, 200, size).astype(np.int32) for size in draw.integers(3, 30, 40)])
    batch = SimpleNamespace(tokens=tokens, prompt_lengths=[prompts] * len(tokens))
    engine = type("Engine", (), {"module": model, "device": device, "__call__": lambda _, **inputs: model(**inputs)})()
    stage = Contrastive(objective="infonce", data=["x"], mini_batch_tokens=64)
    with Copies() as copies:
        passes = gradient_cache.MiniBatches(engine, batch, stage, 0, 0)
        assert len(passes.chunks) > 5
        assert 2 <= copies.count <= 4  # tokens, counts, order, and lengths of prompts if there are any
        before = copies.count
        for index, chunk in enumerate(passes.chunks):
            (embeddings,) = passes.embed(index)
            assert embeddings.shape == (len(chunk), 32)
            embeddings.sum().backward()
        assert copies.count == before


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "weighted_mean"])
@pytest.mark.parametrize("prompts", [None, torch.tensor([1, 0, 1])])
def test_pooling_reads_no_value(pooling, prompts):
    states, cumulative = torch.randn(7, 3), torch.tensor([0, 4, 5, 7], dtype=torch.int32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        pool(states, cumulative, pooling, prompts)
    assert {event.key for event in profile.key_averages()} & {"aten::item", "aten::_local_scalar_dense"} == set()
