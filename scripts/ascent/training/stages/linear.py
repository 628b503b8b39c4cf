"""The weighted mean of models' weights (model soup, Wortsman et al. 2022, arXiv 2203.05482)."""

from pathlib import Path

import torch

from ...errors import AscentError
from ...files import folder_atomically
from ...model.contract import read_contract, refuse_difference
from ...model.heads import read_state
from ...model.saving import save_like
from ...settings.stages import StageSettings


def average(states: list[dict[str, torch.Tensor]], weights: list[float]) -> dict[str, torch.Tensor]:
    """Return the weighted mean of tensors by name, computed in float64 and cast back. Weights are scaled to sum to 1.

    Raises AscentError if the models differ in the names or shapes of their tensors.
    """
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    for shape in shapes[1:]:
        odd = sorted(set(shape.items()) ^ set(shapes[0].items()))
        if odd:
            raise AscentError(
                f"models of different shapes cannot be merged: '{odd[0][0]}' differs; merge stages of one base model."
            )
    total = sum(weights)
    return {
        name: sum(state[name].double() * (weight / total) for state, weight in zip(states, weights, strict=True)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }


def linear(settings: StageSettings, parents: list[Path], folder: Path) -> None:
    """Merge the parents' model folders into `folder`, with the contract of the stage's settings."""
    documents = []
    for parent in parents:
        contract, document = read_contract(parent)
        refuse_difference(contract, settings.contract, parent, prompts=False)
        documents.append(document)
    if len({document["tokenizer_digest"] for document in documents}) > 1:
        raise AscentError(f"{parents[0]} and {parents[1]} have different tokenizers; merge stages of one base model.")
    state = average([read_state(parent, settings.contract) for parent in parents], list(settings.stage.weights))
    history = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "parents": [document["weights_digest"] for document in documents],
    }
    with folder_atomically(folder) as temporary:
        save_like(parents[0], state, settings.contract, history, temporary)
