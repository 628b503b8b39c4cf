"""Weights of a merge, chosen by the scores of mixtures on a development split.

Nothing is written but the choice: one model is in memory, and a mixture's tensors take the places of the last one's.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import torch

from ..errors import AscentError
from ..model.backbone import load_backbone
from ..model.device import find_device
from ..model.embedding_model import EmbeddingModel
from ..model.encoder import tokens_at_once
from ..model.heads import PREFIX, load_heads
from ..settings.merging import Mixture
from ..settings.stages import StageSettings
from .development import Split
from .merging import Parents

Score = Callable[[Sequence[float]], float]


def choose_weights(settings: StageSettings, folders: list[Path], split: Split) -> dict:
    """Return what weights.json holds: each parent's score on the split, that of every mixture tried, and the chosen
    weights by parent, which sum to 1. Models are scored in float32, as they are evaluated."""
    stage: Mixture = settings.stage
    parents = Parents(settings, folders)
    score = _scorer(settings, parents, split)
    tried: list[dict] = []

    def scored(weights: Sequence[float]) -> float:
        known = next((one["score"] for one in tried if one["weights"] == list(weights)), None)
        if known is None:
            known = score(weights)
            tried.append({"weights": list(weights), "score": known})
            print(
                f"{' + '.join(f'{w:.3g} {n}' for n, w in zip(stage.parents, weights, strict=True) if w)}: {known:.4f}"
            )
        return known

    count = len(folders)
    single = [scored([float(place == parent) for place in range(count)]) for parent in range(count)]
    if stage.weights == "greedy":
        chosen = greedy(scored, single)
    elif stage.weights == "grid":
        chosen = max(grid(count, stage.development.divisions), key=scored)
    else:
        chosen = stage.shares
    return {
        "kind": "weights",
        "stage": settings.name,
        "dataset": stage.development.data,
        "metric": "spearman" if split.graded else "ndcg_at_10",
        "parents": dict(zip(stage.parents, single, strict=True)),
        "tried": tried,
        "chosen": dict(zip(stage.parents, chosen, strict=True)),
        "score": scored(chosen),
    }


def greedy(score: Score, single: Sequence[float]) -> list[float]:
    """Return the weights of the greedy soup (arXiv 2203.05482, recipe 1): models are added best first, and one is kept
    if the equal mixture's score does not fall. single: each model's score; of equal ones the earlier is added first."""
    order = sorted(range(len(single)), key=lambda model: -single[model])
    kept, best = order[:1], single[order[0]]
    for model in order[1:]:
        found = score(_equal([*kept, model], len(single)))
        if found >= best:
            kept, best = [*kept, model], found
    return _equal(kept, len(single))


def _equal(models: Sequence[int], count: int) -> list[float]:
    return [float(model in models) / len(models) for model in range(count)]


def grid(count: int, divisions: int) -> list[list[float]]:
    """Return all weights of `count` models that are multiples of 1 / divisions and sum to 1, the most even first, so
    that of equally good ones the most even is chosen."""
    places = range(divisions + count - 1)
    parts = []
    for bars in combinations(places, count - 1):
        ends = [-1, *bars, len(places)]
        parts.append([after - before - 1 for before, after in pairwise(ends)])
    return [
        [part / divisions for part in some] for some in sorted(parts, key=lambda some: sum(part**2 for part in some))
    ]


def _scorer(settings: StageSettings, parents: Parents, split: Split) -> Score:
    """Return what scores a mixture of the parents by their weights."""
    folder, contract, device = parents.folders[0], settings.contract, find_device()
    backbone, tokenizer = load_backbone(folder, contract)
    heads = load_heads(folder, contract, backbone.config.hidden_size)
    model = EmbeddingModel(backbone, contract, None, heads, tokenizer.all_special_ids).to(device).eval()
    places = backbone.state_dict() | {f"{PREFIX}{name}": tensor for name, tensor in heads.state_dict().items()}
    if lost := [name for name in parents.names if name not in places]:
        raise AscentError(
            f"{folder}: its weight '{lost[0]}' has no place in the loaded model, so mixtures cannot be scored; give"
            " weights as numbers."
        )

    tokens = tokens_at_once(folder, device, "float32")

    @torch.no_grad()
    def score(weights: Sequence[float]) -> float:
        for name, tensor in parents.merged(weights):
            places[name].copy_(tensor)
        return split.score(split.embed(model, model, device, tokenizer.pad_token_id or 0, tokens))

    return score
