"""Packed rows give the states and gradients of padded rows, in every architecture, and nothing passes between rows."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

from ascent.model.backbone import first_position, load_backbone
from ascent.model.batching import pack, pad
from ascent.model.embedding_model import EmbeddingModel
from ascent.model.packing import attention_in_words, is_packed, is_to_pack, packed_attention
from ascent.settings.model import Contract
from support.tiny_models import DECODERS, ENCODERS, EVERY, LENGTHS, make_architecture, rows_of


@pytest.fixture(scope="module")
def folders(tiny_resource, tmp_path_factory):
    parent = tmp_path_factory.mktemp("architectures")
    return {name: make_architecture(parent / name, name, tiny_resource) for name in (*ENCODERS, *DECODERS)}


SOME = [
    ("bert", "bidirectional"),
    ("modernbert", "bidirectional"),
    ("mistral", "causal"),
    ("gemma3_text", "bidirectional"),
]
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def padded_states(folder, attention: str, rows, *, dtype=torch.float32, implementation="eager"):
    """transformers' own states of padded rows, with nothing of ours: (tokens, dimension), and the model."""
    config = AutoConfig.from_pretrained(folder)
    if attention == "bidirectional" and folder.name in DECODERS:
        config.is_causal = False
    automatic = AutoModelForTextEncoding if folder.name == "t5" else AutoModel
    model = automatic.from_pretrained(folder, config=config, attn_implementation=implementation, dtype=dtype).train()
    inputs = pad(rows, config.pad_token_id)
    config.use_cache = False
    return model(**inputs).last_hidden_state[inputs["attention_mask"].bool()], model


def packed_states(folder, attention: str, rows, *, dtype=torch.float32, checkpointing=False):
    backbone, _ = load_backbone(folder, Contract(max_tokens=32, attention=attention), dropout=0.0)
    assert is_packed(backbone)
    if checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    backbone.to(dtype).train()
    return backbone(**pack(rows, first_position=first_position(backbone))).last_hidden_state[0], backbone


def gradients(states, model) -> dict[str, torch.Tensor]:
    weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype).sin().view_as(states)
    (states * weights).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def compare(packed, padded, tolerance: float) -> None:
    states, expected = packed[0], padded[0]
    assert torch.allclose(states, expected, rtol=tolerance, atol=tolerance * float(expected.detach().abs().max()))
    found, right = gradients(*packed), gradients(*padded)
    assert found.keys() == right.keys() and len(right) > 10
    # Of a bias of keys, whose gradient is zero, only rounding is there to compare.
    whole = torch.stack([gradient.norm() for gradient in right.values()]).norm()
    for name, gradient in right.items():
        assert (found[name] - gradient).norm() <= tolerance * torch.maximum(gradient.norm(), whole / 100), name


@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_packed_equals_padded(folders, name, attention):
    rows = rows_of()
    compare(packed_states(folders[name], attention, rows), padded_states(folders[name], attention, rows), 1e-5)


@pytest.mark.parametrize(
    ("name", "attention"), [("bert", "bidirectional"), ("mistral", "causal"), ("qwen3", "bidirectional")]
)
def test_packed_equals_padded_in_float64(folders, name, attention):
    """Closer than float32 could show; against sdpa, since some architectures' eager attention takes its softmax in
    float32."""
    padded = padded_states(folders[name], attention, rows_of(), dtype=torch.float64, implementation="sdpa")
    compare(packed_states(folders[name], attention, rows_of(), dtype=torch.float64), padded, 1e-12)


@pytest.mark.parametrize(("name", "attention"), SOME)
def test_layers_computed_again_in_the_backward_pass_are_packed_too(folders, name, attention):
    kept = packed_states(folders[name], attention, rows_of())
    again = packed_states(folders[name], attention, rows_of(), checkpointing=True)
    assert torch.equal(kept[0], again[0])
    right, found = gradients(*kept), gradients(*again)
    assert all(torch.allclose(found[key], right[key], rtol=1e-5, atol=1e-7) for key in right)


def test_a_packed_row_says_where_rows_begin():
    packed = pack([np.array([5, 6, 7]), np.array([8])], first_position=2)
    assert packed["input_ids"].tolist() == [[5, 6, 7, 8]]
    assert packed["position_ids"].tolist() == [[2, 3, 4, 2]]
    assert packed["cumulative"].tolist() == [0, 3, 4]
    assert packed["cumulative"].dtype == torch.int32
    assert (packed["longest"], packed["spare"]) == (3, 0)
    packed = pack([np.array([5, 6, 7]), np.array([8])], first_position=2, pad_id=1, multiple=16)
    assert packed["input_ids"].tolist() == [[5, 6, 7, 8, *[1] * 12]]
    assert packed["position_ids"].tolist() == [[2, 3, 4, 2, *range(2, 14)]]
    assert packed["cumulative"].tolist() == [0, 3, 4, 16]
    assert (packed["longest"], packed["spare"]) == (12, 12)


@pytest.mark.parametrize(("name", "attention"), SOME)
def test_bfloat16_is_as_near_as_its_eight_bits(folders, name, attention):
    """Autocast leaves some architectures' queries and keys in float32 and computes their values in bfloat16."""
    with torch.no_grad():
        exact, _ = packed_states(folders[name], attention, rows_of())
        with torch.autocast("cpu", torch.bfloat16):
            states, _ = packed_states(folders[name], attention, rows_of())
    error = float((states - exact).norm() / exact.norm())
    assert 1e-4 < error < 0.05


class Layer(torch.nn.Module):
    """What the attention reads of its layer."""

    def __init__(self, is_causal: bool):
        super().__init__()
        self.is_causal = is_causal


def attended(query, key, value, layer: Layer, **options) -> torch.Tensor:
    cumulative = torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32, device=query.device)
    return packed_attention(layer, query, key, value, None, cumulative=cumulative, longest=max(LENGTHS), **options)[0]


def test_dropout_drops_and_keeps_the_mean():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, sum(LENGTHS), 8)
    value = torch.ones(1, 2, sum(LENGTHS), 400)
    out = attended(query, key, value, Layer(False), dropout=0.25)
    assert abs(float(out.mean()) - 1) < 0.05  # a token's weights sum to 1 before dropout, and on average after it
    alone = out[0, sum(LENGTHS[:3])]  # the row of one token: its weight of 1 is dropped, or kept and made larger
    assert set(alone.unique().tolist()) <= {0.0, float(torch.tensor(1 / 0.75))}
    assert torch.equal(attended(query, key, value, Layer(False)).round(decimals=5), torch.ones_like(out))


@pytest.mark.parametrize("options", [{}, {"sliding_window": 4}, {"is_causal": False, "sliding_window": 4}])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width", [pytest.param(width, marks=GPU) for width in (32, 20)])
def test_the_kernel_is_the_exact_attention(width, causal, options):
    """In bfloat16, whose rounding is 2^-8, against float32 by the attention that runs on any device."""
    torch.manual_seed(0)
    shapes = [(1, heads, sum(LENGTHS), width) for heads in (4, 2, 2)]
    half = [torch.randn(shape, device="cuda", dtype=torch.bfloat16).requires_grad_() for shape in shapes]
    exact = [x.detach().float().requires_grad_() for x in half]
    found, expected = (attended(*tensors, Layer(causal), scaling=0.3, **options) for tensors in (half, exact))
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    weights = torch.randn_like(expected)
    (found.float() * weights).sum().backward()
    (expected * weights).sum().backward()
    for ours, right in zip(half, exact, strict=True):
        assert (ours.grad.float() - right.grad).norm() < 0.02 * right.grad.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_dropout_in_the_kernel_drops_and_keeps_the_mean():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 4, 4096, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    value = torch.ones_like(value).requires_grad_()
    ends = torch.arange(0, 4097, 64, dtype=torch.int32, device="cuda")
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(
            packed_attention(Layer(False), query, key, value, None, cumulative=ends, longest=64, dropout=0.25)[0]
        )
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert abs(float(draws[0].float().mean()) - 1) < 0.02
    draws[0].sum().backward()
    assert abs(float(value.grad.float().mean()) - 1) < 0.02


@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.1}, {"sliding_window": 4}, {"is_causal": False, "sliding_window": 4}]
)
@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_takes_what_it_is_given_and_nothing_waits_for_the_gpu(monkeypatch, causal, options):
    """On tensors without values, whose kernels check arguments and shapes, and where reading a value is an error."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # which knows no such device
    shapes = [(1, heads, sum(LENGTHS), 20) for heads in (4, 2, 2)]
    tensors = [torch.empty(shape, device="meta", dtype=torch.bfloat16, requires_grad=True) for shape in shapes]
    ends = torch.empty(len(LENGTHS) + 1, dtype=torch.int32, device="meta")
    out, _ = packed_attention(Layer(causal), *tensors, None, cumulative=ends, longest=max(LENGTHS), **options)
    assert out.shape == (1, sum(LENGTHS), 4, 20)
    out.sum().backward()
    assert [x.grad.shape for x in tensors] == shapes
    with pytest.raises(NotImplementedError):  # float32 has no kernel, and goes length by length
        packed_attention(Layer(causal), *(x.float() for x in tensors), None, cumulative=ends, longest=max(LENGTHS))


def test_the_attention_is_said_in_words(folders, monkeypatch):
    backbone, _ = load_backbone(folders["bert"], Contract(max_tokens=32))
    said = {
        (device, dtype): attention_in_words(backbone, torch.device(device), dtype)
        for device, dtype in (("cpu", torch.bfloat16), ("cuda", None), ("cuda", torch.bfloat16))
    }
    assert set(list(said.values())[:2]) == {"rows packed, without padding; one product per length"}
    assert said["cuda", torch.bfloat16] == "rows packed, without padding; torch's flash attention"
    backbone.config._attn_implementation, backbone.config.model_type = "sdpa", "gpt2"
    assert attention_in_words(backbone, torch.device("cpu"), None) == (
        "rows padded, since 'gpt2' is not known to be packed; transformers' sdpa"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    for capability, packed in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert is_to_pack("bert") == packed and not is_to_pack("t5")
    for kind, why in (
        ("t5", "no kernel for packed rows takes the position bias of 't5'"),
        ("bert", "Tesla T4 lacks flash attention"),
    ):
        backbone.config.model_type = kind
        assert (
            attention_in_words(backbone, torch.device("cuda"), None) == f"rows padded, since {why}; transformers' sdpa"
        )


@pytest.mark.parametrize(("name", "attention"), [pytest.param(*case, marks=GPU) for case in EVERY])
def test_embeddings_of_a_gpu_are_those_of_a_cpu(folders, name, attention):
    contract = Contract(max_tokens=32, attention=attention)
    backbone, _ = load_backbone(folders[name], contract)
    model = EmbeddingModel(backbone, contract).eval()
    with torch.no_grad():
        expected = model.embed(**model.inputs(rows_of(), 0, "cpu"))
        model.cuda()
        single = model.embed(**model.inputs(rows_of(), 0, "cuda")).cpu()
        model.dtype = torch.bfloat16
        half = model.embed(**model.inputs(rows_of(), 0, "cuda")).cpu()
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-4)
    assert float((half * expected).sum(1).min()) > 0.995
