"""Merging models: the weighted mean of their weights (model soup, Wortsman et al. 2022, arXiv 2203.05482)."""

from pathlib import Path

import torch

from ..errors import AscentError
from ..files import folder_atomically
from ..settings.stages import MergeStage, StageSettings
from .contract import read_contract, refuse_difference
from .heads import read_state
from .saving import save_like


def average(states: list[dict[str, torch.Tensor]], weights: list[float]) -> dict[str, torch.Tensor]:
    """Return the weighted mean of tensors by name, in float64, cast back. Weights are scaled to sum to 1.

    Raises AscentError when the models differ in their tensors' names or shapes.
    """
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    for shape in shapes[1:]:
        odd = sorted(set(shape.items()) ^ set(shapes[0].items()))
        if odd:
            raise AscentError(
                f"models of different shape cannot be merged: '{odd[0][0]}' differs; merge stages of one base model."
            )
    total = sum(weights)
    return {
        name: sum(state[name].double() * (weight / total) for state, weight in zip(states, weights, strict=True)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }


def merge(settings: StageSettings, parents: list[Path], folder: Path) -> None:
    """Merge the parents' model folders into `folder`, with the contract that the stage's settings state."""
    stage = settings.stage
    assert isinstance(stage, MergeStage)
    documents = []
    for parent in parents:
        contract, document = read_contract(parent)
        refuse_difference(contract, settings.contract, parent, prompts=False)
        documents.append(document)
    if len({document["tokenizer_digest"] for document in documents}) > 1:
        raise AscentError(f"{parents[0]} and {parents[1]} have different tokenizers; merge stages of one base model.")
    state = average([read_state(parent, settings.contract) for parent in parents], list(stage.weights))
    history = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "parents": [document["weights_digest"] for document in documents],
    }
    with folder_atomically(folder) as temporary:
        save_like(parents[0], state, settings.contract, history, temporary)
