"""The perturbation of input embeddings: each text's own, of the length asked for, in every architecture, packed or
padded."""

import pytest
import torch

from ascent.model.backbone import load_backbone
from ascent.model.embedding_model import EmbeddingModel
from ascent.settings.model import Contract
from ascent.training.adversarial import Perturbation, steepest
from support.tiny_models import DECODERS, ENCODERS, EVERY, LENGTHS, make_architecture, rows_of

EPSILON = 0.7


@pytest.fixture(scope="module")
def folders(tiny_resource, tmp_path_factory):
    parent = tmp_path_factory.mktemp("architectures")
    return {name: make_architecture(parent / name, name, tiny_resource) for name in (*ENCODERS, *DECODERS)}


def loss_of(embeddings: torch.Tensor) -> torch.Tensor:
    """Any loss in which the rows meet."""
    similarities = embeddings @ embeddings.T
    return torch.logsumexp(3 * similarities, dim=1).sum() - similarities[0, -1]


@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_each_text_is_moved_by_its_own_gradient(name, attention, folders):
    """r against the gradients of texts that are embedded one by one, each of them scaled; and what moving by it comes
    to."""
    contract = Contract(max_tokens=32, attention=attention)
    backbone, _ = load_backbone(folders[name], contract, dropout=0.0)
    model = EmbeddingModel(backbone, contract).double()
    rows = rows_of()
    inputs = model.inputs(rows, 0, "cpu")
    perturbation = Perturbation(backbone, EPSILON)
    without = model.embed(**inputs)
    zeros = model.embed(**inputs, perturbation=perturbation.added(0, inputs))
    assert torch.equal(without, zeros)
    loss_of(zeros).backward()
    perturbation.ascend()
    moved = perturbation.added(0, inputs)

    def one_by_one(shifts: list[torch.Tensor]) -> torch.Tensor:
        found = []
        for row, shift in zip(rows, shifts, strict=True):
            inputs = model.inputs([row], 0, "cpu")
            embedded = backbone.get_input_embeddings()(inputs.pop("input_ids")) + shift
            found.append(backbone(inputs_embeds=embedded, **inputs).last_hidden_state[0].mean(0))
        return torch.nn.functional.normalize(torch.stack(found), dim=1)

    leaves = [torch.zeros(1, len(row), moved.shape[2], dtype=torch.float64, requires_grad=True) for row in rows]
    gradients = torch.autograd.grad(loss_of(one_by_one(leaves)), leaves)
    expected = [EPSILON * g / g.norm() for g in gradients]
    # Some architectures compute norms and rotations in float32 whatever their weights are.
    assert torch.allclose(moved, torch.cat(expected, dim=1), atol=1e-5)
    assert torch.allclose(model.embed(**inputs, perturbation=moved), one_by_one(expected), atol=1e-5)


def test_padding_to_a_multiple_is_not_moved(folders):
    contract = Contract(max_tokens=32)
    backbone, _ = load_backbone(folders["bert"], contract, dropout=0.0)
    found = []
    for multiple in (1, 16):
        model = EmbeddingModel(backbone, contract, multiple=multiple)
        inputs = model.inputs(rows_of(), 0, "cpu")
        perturbation = Perturbation(backbone, EPSILON)
        loss_of(model.embed(**inputs, perturbation=perturbation.added(0, inputs))).backward()
        perturbation.ascend()
        moved = perturbation.added(0, inputs)
        found.append(moved[:, : moved.shape[1] - inputs["spare"]])
        assert not moved[:, found[-1].shape[1] :].any() and inputs["spare"] == (
            0 if multiple == 1 else -sum(LENGTHS) % 16
        )
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "t5", "gemma3_text"])
def test_padded_texts_are_moved_as_packed_ones(name, folders, monkeypatch):
    contract = Contract(max_tokens=32)
    rows = rows_of()
    found = []
    for packed in (True, False):
        if not packed:
            monkeypatch.setattr("ascent.model.backbone.is_to_pack", lambda kind: False)
        backbone, _ = load_backbone(folders[name], contract, dropout=0.0)
        model = EmbeddingModel(backbone, contract)
        inputs = model.inputs(rows, 0, "cpu")
        assert ("cumulative" in inputs) == packed
        perturbation = Perturbation(backbone, EPSILON)
        loss_of(model.embed(**inputs, perturbation=perturbation.added(0, inputs))).backward()
        perturbation.ascend()
        moved = perturbation.added(0, inputs)
        found.append(moved[0] if packed else moved[inputs["attention_mask"].bool()])
        if not packed:
            assert not moved[~inputs["attention_mask"].bool()].any()
    assert torch.allclose(*found, atol=1e-4)


def test_what_the_loss_says_nothing_of_is_not_moved_and_the_smallest_gradient_is():
    gradient = torch.zeros(3, 2, 4)
    gradient[1] = 1e-30
    gradient[2, 0, 0] = -5.0
    moved = steepest(gradient, None, 2.0)
    assert not moved[0].any()
    assert float(moved[1].norm()) == pytest.approx(2.0)
    assert moved[2, 0].tolist() == [-2.0, 0, 0, 0]


def test_nothing_is_kept_of_a_pass_without_a_gradient(folders):
    backbone, _ = load_backbone(folders["bert"], Contract(max_tokens=32))
    perturbation = Perturbation(backbone, EPSILON)
    with torch.no_grad():
        assert perturbation.added(0, {"input_ids": torch.zeros(1, 5, dtype=torch.int64)}) is None
    zeros = perturbation.added(0, {"input_ids": torch.zeros(1, 5, dtype=torch.int64)})
    assert zeros.shape == (1, 5, 32) and zeros.requires_grad and not zeros.any()
    assert zeros.untyped_storage().nbytes() == 4  # the gradient is all that takes room
