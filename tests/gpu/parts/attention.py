"""Packed bfloat16 on this device against transformers' own padded attention in float32 on the CPU: embeddings and
gradients."""

import torch

from ascent.model.embedding_model import EmbeddingModel
from rig import CONTRACT, Rig, apart


def attention(rig: Rig) -> None:
    for name in ("toy-bert", "toy-modernbert", "toy-qwen3", "toy-mistral"):
        batch = rig.batch(name, 6, 1)
        found = []
        for device, kind, dtype in ((rig.device, None, torch.bfloat16), (torch.device("cpu"), "eager", None)):
            model = EmbeddingModel(rig.backbone(name, attention=kind), CONTRACT, dtype).to(device)
            out = model.embed(**model.inputs(batch.tokens, 0, device))
            weights = torch.linspace(-1, 1, out.numel()).sin().view_as(out).to(device)
            (out * weights).sum().backward()
            parts = {
                key: weight.grad.float().cpu() for key, weight in model.named_parameters() if weight.grad is not None
            }
            found.append((out.detach().float().cpu(), parts))
        (embeddings, gradients), (right, right_gradients) = found
        error, of_gradient = float((embeddings - right).norm() / right.norm()), apart(gradients, right_gradients)
        rig.tell(
            f"{name}: error of embeddings, of gradients",
            f"{error:.4f}, {of_gradient:.4f}",
            max(error, of_gradient) < 0.05,
        )
