"""FLOPs and bytes against hand counts, the papers' own numbers, and what torch counts and keeps."""

import math
from dataclasses import replace

import pytest
import torch
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, BertForMaskedLM

from ascent.errors import AscentError
from ascent.losses import ring
from ascent.model import costs
from ascent.model.adapters import adapt
from ascent.model.backbone import load_backbone
from ascent.model.costs import checkpoint_bytes, layer_bytes, states, training_flops, training_memory, with_budget
from ascent.model.shape import Shape, described_shape, forward_flops, read_shape, step_flops, trained_weights
from ascent.model.soft_tokens import add_soft_tokens
from ascent.settings.contrastive import Contrastive
from ascent.settings.corpora import BackboneShape
from ascent.settings.model import Contract
from ascent.settings.pretraining import Pretraining
from support.tiny_models import make_architecture

# 7.5 G parameters: the model of the ZeRO paper's figure 1.
ZERO = Shape(
    parameters=7_500_000_000,
    matrices=7_000_000_000,
    layers=32,
    width=4096,
    queries=4096,
    keys=4096,
    inner=16384,
    gated=False,
    rms=False,
    normed_heads=False,
)
# BERT-large.
LARGE = Shape(
    parameters=335_000_000,
    matrices=302_000_000,
    layers=24,
    width=1024,
    queries=1024,
    keys=1024,
    inner=4096,
    gated=False,
    rms=False,
    normed_heads=False,
)
ROWS, LENGTH = 7, 60


def stage(**settings) -> Contrastive:
    return Contrastive(**{"objective": "infonce", "data": ["pairs"]} | settings)


def config(architecture: str):
    special = dict.fromkeys(("pad_token_id", "eos_token_id", "bos_token_id", "cls_token_id", "sep_token_id"), 0)
    shared = {"num_key_value_heads": 2, "head_dim": 24} if architecture in ("qwen3", "llama") else {}
    none = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0) if architecture == "bert" else {}
    return AutoConfig.for_model(
        architecture,
        vocab_size=500,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=320,
        max_position_embeddings=128,
        **special,
        **shared,
        **none,
    )


def make(architecture: str, folder, attention: str = "eager"):
    torch.manual_seed(0)
    model = AutoModel.from_config(config(architecture), attn_implementation=attention)
    model.save_pretrained(folder)
    return model, read_shape(folder)


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize("architecture", ["bert", "modernbert", "qwen3", "llama"])
def test_weights_are_counted_as_transformers_counts_them(architecture, tmp_path):
    model, shape = make(architecture, tmp_path)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    layers = model.encoder.layer if architecture == "bert" else model.layers
    linear = [module for module in layers.modules() if isinstance(module, torch.nn.Linear)]
    assert shape.matrices == sum(module.weight.numel() for module in linear)
    assert shape.gated == (architecture != "bert")
    assert shape.normed_heads == (architecture == "qwen3")


@pytest.mark.parametrize("name", ["bert", "modernbert", "llama", "qwen3", "t5"])
def test_a_shape_that_the_catalogue_describes_is_that_of_the_files(name, tiny_resource, tmp_path):
    """But for biases, norms, tables of positions and T5's bias of positions."""
    folder = make_architecture(tmp_path / name, name, tiny_resource)
    grouped = {"key_heads": 2, "head_dimension": 8} if name in ("llama", "qwen3") else {}
    sizes = {"layers": 3, "width": 32, "heads": 4, "inner": 64, "vocabulary": 2016}
    described = BackboneShape(architecture=name, **sizes, **grouped)
    read, found = read_shape(folder), described_shape(described)
    assert found.parameters == pytest.approx(read.parameters, rel=0.05)
    assert found.matrices == pytest.approx(read.matrices, rel=0.01)
    same = {"parameters": read.parameters, "matrices": read.matrices}
    assert replace(found, **same) == read
    lora = stage(adapter={"type": "lora", "rank": 3}).adapter
    if name != "modernbert":  # whose three projections are one matrix
        assert trained_weights(described, lora, 0) == trained_weights(folder, lora, 0)


def test_the_tiny_model_s_weights_are_counted(tiny_resource):
    backbone = AutoModel.from_pretrained(tiny_resource)
    assert read_shape(tiny_resource).parameters == sum(weight.numel() for weight in backbone.parameters())


def test_a_head_that_is_not_loaded_is_not_counted(tmp_path):
    model = BertForMaskedLM(config("bert"))
    model.save_pretrained(tmp_path)
    assert read_shape(tmp_path).parameters == sum(weight.numel() for weight in model.bert.parameters())


def test_a_model_without_a_dimension_is_refused(tmp_path):
    make("bert", tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("num_hidden_layers", "layers_of_some_other_name"))
    with pytest.raises(AscentError, match=r"config\.json: has none of num_hidden_layers, n_layers, .*; add it\.$"):
        read_shape(tmp_path)


def test_a_model_whose_layers_share_weights_is_refused(tmp_path):
    torch.manual_seed(0)
    AutoModel.from_config(config("albert")).save_pretrained(tmp_path)
    with pytest.raises(AscentError, match=r"has weights of 1 layers, but config\.json says 4; choose a model"):
        read_shape(tmp_path)


def test_a_cut_file_of_weights_is_refused(tmp_path):
    make("bert", tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AscentError, match=r"model\.safetensors: not a whole safetensors file .*retrieve it again\.$"):
        read_shape(tmp_path)


# ---------------------------------------------------------------- FLOPs


def test_flops_by_hand():
    small = Shape(
        parameters=1,
        matrices=100,
        layers=2,
        width=8,
        queries=8,
        keys=8,
        inner=32,
        gated=False,
        rms=False,
        normed_heads=False,
    )
    # Texts of 3 and 5 tokens: 2 * 100 * 8 of the matrices, 4 * 2 * 8 * (9 + 25) of the attention.
    assert forward_flops(small, 8, 34) == 1600 + 2176
    assert training_flops(small, stage(), 8, 34, cached=False) == 3 * 3776
    assert training_flops(small, stage(), 8, 34, cached=True) == 4 * 3776
    assert training_flops(small, stage(activation_checkpointing=True), 8, 34, cached=True) == 5 * 3776
    assert training_flops(small, stage(adversarial={}), 8, 34, cached=True) == 2 * 4 * 3776


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_flops_are_those_that_torch_counts(architecture, tmp_path):
    model, shape = make(architecture, tmp_path)
    ids = torch.randint(0, 500, (ROWS, LENGTH))
    with FlopCounterMode(display=False) as counter:
        loss = model(input_ids=ids).last_hidden_state.sum()
        forward = counter.get_total_flops()
        loss.backward()
    tokens, squares = ROWS * LENGTH, ROWS * LENGTH**2
    # BERT's pooler, one token a text, and rotary angles are what is left out.
    assert forward_flops(shape, tokens, squares) == pytest.approx(forward, rel=0.01)
    assert training_flops(shape, stage(), tokens, squares, cached=False) == pytest.approx(
        counter.get_total_flops(), rel=0.01
    )


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_the_zero_paper_s_figure(zero, gigabytes):
    """arXiv 1910.02054, figure 1: 7.5 G parameters on 64 GPUs, 16 bits with Adam; its gradients have 2 bytes, ours
    4."""
    asked = stage(zero=1, weights="bfloat16").model_copy(update={"zero": zero})  # at 0 no recipe may ask for it
    held = states(ZERO.parameters, asked, 64)
    more = 2 * 7.5 / (64 if zero >= 2 else 1)
    assert (held["weights"] + held["gradients"] + held["optimizer"]) / 1e9 == pytest.approx(gigabytes + more, abs=0.05)


def test_float32_weights_cost_16_bytes_a_parameter_and_4_for_deepspeed_s_clone():
    held = [states(1000, stage(zero=zero), 4) for zero in range(4)]
    sums = [one["weights"] + one["gradients"] + one["optimizer"] for one in held]
    assert sums == [16000, 8000 + 3000, 4000 + 4000, 4000]


def test_a_checkpoint_s_bytes_by_hand():
    sizes = [checkpoint_bytes(1000, stage(zero=zero)) for zero in range(4)]
    assert sizes == [12000, 16000, 16000, 12000]
    assert checkpoint_bytes(1000, stage(zero=2, weights="bfloat16"), trained=100) == 1400


def test_what_is_offloaded_leaves_the_gpu():
    at_home = states(1000, stage(zero=3, weights="bfloat16"), 4)
    away = states(1000, stage(zero=3, weights="bfloat16", offload_optimizer="cpu", offload_weights="cpu"), 4)
    assert (away["weights"], away["optimizer"]) == (0, 0)
    assert away["host"] == at_home["weights"] + at_home["optimizer"] + 4 * 1000 / 4  # and the optimizer's gradients


def test_a_gpt_layer_keeps_34_bytes_a_token_and_dimension():
    """arXiv 2205.05198, section 4.1, without the attention's scores."""
    assert layer_bytes(ZERO, precision="bfloat16", weights="bfloat16") == 34 * ZERO.width


@pytest.mark.parametrize("mode", ["float32", "autocast", "bfloat16"])
@pytest.mark.parametrize("architecture", ["bert", "modernbert", "qwen3", "llama"])
def test_activations_are_those_that_torch_keeps(architecture, mode, tmp_path):
    model, shape = make(architecture, tmp_path, attention="sdpa")
    if mode == "bfloat16":
        model = model.to(torch.bfloat16)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model.train()
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=mode != "float32"):
        states = model(input_ids=torch.randint(0, 500, (ROWS, LENGTH))).last_hidden_state
    assert states.requires_grad
    found = [tensor for place, tensor in kept.items() if place not in weights]
    # Two dimensions, none of them the tokens: autocast's copies of the weights.
    copies = [
        tensor
        for tensor in found
        if tensor.dim() == 2 and ROWS * LENGTH not in tensor.shape and ROWS not in tensor.shape
    ]
    held = sum(tensor.untyped_storage().nbytes() for tensor in found) - sum(tensor.nbytes for tensor in copies)
    if mode == "autocast":
        assert sum(tensor.numel() for tensor in copies) == pytest.approx(shape.matrices, rel=0.05)
    precision, kind = ("float32" if mode == "float32" else "bfloat16", "bfloat16" if mode == "bfloat16" else "float32")
    expected = shape.layers * (
        layer_bytes(shape, precision=precision, weights=kind) - 2 * shape.width
    )  # no dropout here
    assert held / (ROWS * LENGTH) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("room", [60e9, 141e9, 180e9, 1e15])
def test_the_default_budget_is_the_largest_that_fits(room):
    def memory(asked):
        return training_memory(LARGE, asked, 8, texts=3, max_tokens=512)

    asked = stage(batch_size=8192, precision="bfloat16")
    found = with_budget(asked, memory, room)
    tokens = found.mini_batch_tokens
    assert tokens in costs.BUDGETS and asked.mini_batch_tokens is None
    assert memory(found).total <= 0.85 * room or tokens == 4096
    twice = memory(found.model_copy(update={"mini_batch_tokens": 2 * tokens})).total
    assert twice > 0.85 * room or tokens == 262_144


def test_the_budgets_differ_by_gpu_and_a_recipe_s_own_stays():
    def memory(asked):
        return training_memory(LARGE, asked, 8, texts=3, max_tokens=512)

    tokens = [with_budget(stage(batch_size=8192), memory, room).mini_batch_tokens for room in (10e9, 24e9, 80e9, 141e9)]
    assert tokens == sorted(tokens) and len(set(tokens)) > 2
    assert with_budget(stage(mini_batch_tokens=7), memory, 80e9).mini_batch_tokens == 7
    assert with_budget(stage(), memory, None).mini_batch_tokens == 16384
    for other in (Pretraining(type="pretraining", objective="mlm", data=["pairs"]), stage(objective="m3")):
        assert with_budget(other, memory, 80e9).mini_batch_tokens == 16384


def test_a_stage_s_memory_by_hand():
    """128 rows on 2 processes, each a query and 2 documents of at most 100 tokens, 1,000 at a time."""
    asked_for = {"batch_size": 128, "mini_batch_tokens": 1000, "precision": "bfloat16", "weights": "bfloat16"}
    asked = stage(**asked_for, zero=1).model_copy(update={"zero": 0})
    memory = training_memory(ZERO, asked, 2, texts=3, max_tokens=100)
    assert memory.activations == 1000 * 33 * 34 * 4096
    assert memory.batch == 12 * 4096 * 128 * 3 + 14 * 64 * 256
    held = 18 * 7.5e9 + memory.activations + memory.batch
    assert memory.total == pytest.approx(1.1 * held + 1.5e9)
    less = training_memory(
        ZERO, asked.model_copy(update={"activation_checkpointing": True}), 2, texts=3, max_tokens=100
    )
    assert less.activations == 1000 * (32 * 2 + 2 * 34) * 4096
    mixed = training_memory(ZERO, asked.model_copy(update={"weights": "float32"}), 2, texts=3, max_tokens=100)
    assert mixed.activations == 1000 * 33 * 42 * 4096 + 2 * ZERO.matrices  # and autocast's copies
    small = training_memory(ZERO, asked.model_copy(update={"batch_size": 4}), 2, texts=3, max_tokens=100)
    assert small.activations == 2 * 3 * 100 * 33 * 34 * 4096  # the whole share is less than a mini-batch
    both = stage(**asked_for, zero=1, adversarial={}, queue={"size": 1000}).model_copy(update={"zero": 0})
    more = training_memory(ZERO, both, 2, texts=3, max_tokens=100)
    assert more.batch - memory.batch == 4 * 4096 * 64 * 3 * 100 + 5 * 4 * 4096 * 500
    assert more.weights - memory.weights == 4 * 7.5e9


@pytest.mark.parametrize(
    "adapter",
    [
        {"type": "lora", "rank": 3},
        {"type": "lora", "targets": ["query", "key", "q_proj", "Wqkv", "q"]},
        {"type": "bitfit"},
        {"type": "soft_prompt"},
    ],
)
@pytest.mark.parametrize("name", ["bert", "modernbert", "qwen2", "t5"])
def test_an_adapter_s_weights_are_counted_as_they_train(adapter, name, tiny_resource, tmp_path):
    folder, adapter = make_architecture(tmp_path / name, name, tiny_resource), stage(adapter=adapter).adapter
    backbone, tokenizer = load_backbone(folder, Contract(max_tokens=32))
    if adapter.type == "bitfit" and name in ("modernbert", "t5"):
        assert trained_weights(folder, adapter, 0) == 0
        return
    if adapter.type == "soft_prompt":
        add_soft_tokens(backbone, tokenizer, 5)
    if adapter.type == "lora" and adapter.targets != "all-linear":
        present = {module.split(".")[-1] for module, _ in backbone.named_modules()} & set(adapter.targets)
        adapter = adapter.model_copy(update={"targets": sorted(present)})
    adapt(backbone, adapter, tokenizer, "here")
    expected = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    assert trained_weights(folder, adapter, 5) == expected


def test_frozen_weights_have_no_gradients_and_moments():
    held = states(1000, stage(zero=2), 4, trained=100)
    assert (held["weights"], held["gradients"], held["optimizer"]) == (4000, 100, 12 * 100 / 4)
    with_all, with_some = (training_memory(ZERO, stage(), 1, texts=2, max_tokens=10, trained=n) for n in (None, 10**6))
    assert with_all.gradients - with_some.gradients == 4 * (7.5e9 - 1e6)
    assert with_some.weights == with_all.weights
    four = stage(adapter={"type": "qlora"})
    assert training_memory(ZERO, four, 1, texts=2, max_tokens=10, trained=10**6).weights == 4 * 0.5e9 + 7e9 * (
        0.5 + 1 / 64
    )


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_an_adapter_s_flops_are_those_that_torch_counts(architecture, tmp_path):
    model, shape = make(architecture, tmp_path)
    asked = stage(adapter={"type": "lora", "rank": 1})
    adapt(model, asked.adapter, None, "here")
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.randint(0, 500, (ROWS, LENGTH))).last_hidden_state.sum().backward()
    tokens, squares = ROWS * LENGTH, ROWS * LENGTH**2
    # The first layer's input needs no gradient, of four layers; rank 1 is a few hundredths.
    assert step_flops(shape, asked, tokens, squares) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_the_numbers_of_other_modules_are_theirs():
    defaults = DeepSpeedZeroConfig()
    assert (defaults.reduce_bucket_size, defaults.max_live_parameters) == (costs.BUCKET, costs.LIVE_WEIGHTS)
    assert costs.TILE == ring.TILE


def test_an_encoder_takes_as_many_tokens_as_a_gpu_has_room_for_beside_its_weights():
    layer = layer_bytes(ZERO, precision="bfloat16", weights="float32")
    for room in (60e9, 80e9, 141e9):
        # 85 % of the GPU, without CUDA's context and a tenth for fragmentation, without 30 GB of weights.
        most = ((0.85 * room - 1.5e9) / 1.1 - 30e9) / layer
        assert costs.encoder_tokens(ZERO, "bfloat16", room) == min(2 ** int(math.log2(most)), 131_072)
    assert costs.encoder_tokens(ZERO, "bfloat16", 60e9) < 131_072 == costs.encoder_tokens(LARGE, "bfloat16", 60e9)
    assert costs.encoder_tokens(ZERO, "bfloat16", 24e9) == 4096  # does not fit at all; the plan says so
