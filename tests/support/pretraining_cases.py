"""Texts, settings and objectives of the tests of pre-training, and the gradient by loops over texts, tokens and
heads."""

from functools import cache

import numpy as np
import torch
from transformers import AutoModel

from ascent.model.backbone import load_backbone
from ascent.model.embedding_model import EmbeddingModel
from ascent.settings import pretraining as settings
from ascent.settings.model import Contract
from ascent.settings.stages import StageSettings
from ascent.training.masking import draw_of
from ascent.training.pretraining_objectives.retromae import EnhancedDecoder, visible
from ascent.training.stages.pretraining import Pretraining

CONTRACT = Contract(max_tokens=32, prompts={"document": {"default": "passage: "}})
CLS, SEP, MASK = 2, 3, 4
OBJECTIVES = ("mlm", "retromae", "mntp")


def texts(count: int = 9) -> list[np.ndarray]:
    """Texts of 3 to 20 tokens between special ones; in the last there is nothing but these."""
    draw = np.random.default_rng(0)
    found = [
        np.array([CLS, *draw.integers(5, 200, size=draw.integers(1, 19)), SEP], dtype=np.int32)
        for _ in range(count - 1)
    ]
    return [*found, np.array([CLS, SEP], dtype=np.int32)]


def settings_of(objective, **changes) -> StageSettings:
    stage = settings.Pretraining(
        type="pretraining", objective=objective, data=["texts"], **{"gradient_clipping": 0, "dropout": 0} | changes
    )
    return StageSettings(recipe="r", name="s", stage=stage, contract=CONTRACT, tasks={"texts": "retrieval"})


def method_of(folder, objective, **changes) -> Pretraining:
    """The objective on a folder's backbone, in float64; what is not the backbone's is drawn from one seed."""
    backbone, tokenizer = load_backbone(folder, CONTRACT, dropout=0.0)
    torch.manual_seed(0)
    method = Pretraining(EmbeddingModel(backbone, CONTRACT), tokenizer, settings_of(objective, **changes), None, None)
    method.module.double()
    return method


def decoded_by_loops(
    decoder: EnhancedDecoder, embedding: torch.Tensor, words: torch.Tensor, seen: np.ndarray
) -> torch.Tensor:
    """RetroMAE's section 3.3 for one text, a token and a head at a time: embedding (width,), words (n, width)."""
    width, size = len(embedding), len(embedding) // decoder.heads

    def layer_norm(norm, x):
        return (x - x.mean()) / (x.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias

    def dense(layer, x):
        return layer.weight @ x + layer.bias

    positions = decoder.positions.weight
    context = [embedding] + [layer_norm(decoder.norm, word + positions[i]) for i, word in enumerate(words)]
    states = []
    for i in range(len(words)):
        query = layer_norm(decoder.norm, embedding + positions[i])
        keys = [0] + [1 + j for j in range(len(words)) if seen[i, j]]
        attended = torch.zeros(width, dtype=words.dtype)
        for head in range(decoder.heads):
            part = slice(head * size, (head + 1) * size)
            q = dense(decoder.query, query)[part]
            scores = torch.stack([q @ dense(decoder.key, context[j])[part] / size**0.5 for j in keys])
            weights = scores.exp() / scores.exp().sum()
            attended[part] = sum(w * dense(decoder.value, context[j])[part] for w, j in zip(weights, keys, strict=True))
        state = layer_norm(decoder.norm_attended, query + dense(decoder.output, attended))
        inner = dense(decoder.up, state)
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        states.append(layer_norm(decoder.norm_output, state + dense(decoder.down, inner)))
    return torch.stack(states)


@cache
def reference(folder: str, objective: str) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The gradient, and the parts of the loss, of one process with the whole batch: text by text, token by token, with
    transformers' own attention."""
    method = method_of(folder, objective)
    module, table = method.module, texts()
    plain = AutoModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    plain.config.is_causal = False
    words, head, decoder = plain.get_input_embeddings().weight, module.head, module.decoder

    def loss(state: torch.Tensor, token: int) -> torch.Tensor:
        if objective != "mntp":
            state = torch.nn.functional.gelu(head.dense.weight @ state + head.dense.bias)
            state = torch.nn.functional.layer_norm(state, state.shape, head.norm.weight, head.norm.bias, head.norm.eps)
        logits = words @ state + (head.bias if objective != "mntp" else 0)
        return torch.logsumexp(logits, 0) - logits[token]

    parts: dict[str, list[torch.Tensor]] = {"masked": [], "decoded": []}
    for number, text in enumerate(table):
        draw = draw_of(0, 0, number)
        masked, places = method.objective.masking(text, draw)
        states = plain(input_ids=torch.from_numpy(masked).long()[None]).last_hidden_state[0]
        parts["masked"] += [loss(states[place - method.objective.before], text[place]) for place in places]
        if decoder is not None:
            seen = visible(len(text), 0.5, draw)
            decoded = decoded_by_loops(decoder, states.mean(0), words[torch.from_numpy(text).long()], seen)
            parts["decoded"] += [loss(decoded[i], token) for i, token in enumerate(text) if token not in (CLS, SEP)]
    means = [torch.stack(losses).mean() for losses in parts.values() if losses]
    sum(means).backward()
    found = {f"embedder.backbone.{name}": p.grad for name, p in plain.named_parameters() if p.grad is not None}
    others = [(name, p) for name, p in module.named_parameters() if not name.startswith("embedder.")]
    return found | {name: p.grad for name, p in others}, [mean.item() for mean in means]
