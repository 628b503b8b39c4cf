"""A stage's model made of its parents' weights, one tensor after another: no process holds two models."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..components import code_of
from ..errors import AscentError
from ..files import folder_atomically
from ..model.contract import read_contract, refuse_difference
from ..model.heads import StoredWeights
from ..model.saving import save_like
from ..settings.stages import StageSettings


class Parents:
    """The models that a stage merges, opened.

    names: of the tensors that all have. A base stores one that is tied to another once, a stage that trained twice; the
    second is left out. Raises AscentError if one has another contract than the stage's (prompts excepted), or if they
    differ in their tokenizers or in the names or shapes of other tensors.
    """

    def __init__(self, settings: StageSettings, folders: list[Path]):
        self._stage, self.folders = settings.stage, folders
        documents = []
        for folder in folders:
            contract, document = read_contract(folder)
            refuse_difference(contract, settings.contract, folder, prompts=False)
            documents.append(document)
        self.digests = [document["weights_digest"] for document in documents]
        self.models = [StoredWeights(folder, settings.contract) for folder in folders]
        common = set.intersection(*(set(model.shapes.items()) for model in self.models))
        self.names = [name for name, shape in self.models[0].shapes.items() if (name, shape) in common]
        for folder, document, model in zip(folders, documents, self.models, strict=True):
            if document["tokenizer_digest"] != documents[0]["tokenizer_digest"]:
                raise AscentError(
                    f"{folders[0]} and {folder} have different tokenizers; merge stages of one base model."
                )
            for name, shape in model.shapes.items():
                if (name, shape) not in common and not self._is_tied(model, name):
                    raise AscentError(
                        f"{' and '.join(map(str, folders))} differ in '{name}', of which one has none or another shape;"
                        " merge stages of one base model."
                    )

    def _is_tied(self, model: StoredWeights, name: str) -> bool:
        """Return whether a model's tensor equals another that all models have."""
        same = [other for other in self.names if model.shapes[other] == model.shapes[name]]
        return any(torch.equal(model[name], model[other]) for other in same)

    def merged(self, weights: Sequence[float]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the merged tensors by name. weights: one per parent, which sum to 1; one whose weight is 0 is left out.

        The kind of stage merges in float64, and its result has the parents' widest type, unless it returns another than
        float64. Tensors of whole numbers are the first parent's.
        """
        merge = code_of(self._stage)
        chosen = [(model, weight) for model, weight in zip(self.models, weights, strict=True) if weight > 0]
        for name in self.names:
            tensors = [model[name] for model, _ in chosen]
            if not tensors[0].is_floating_point():
                yield name, tensors[0]
                continue
            found = merge([tensor.double() for tensor in tensors], [weight for _, weight in chosen], self._stage)
            widest = torch.float32 if any(tensor.dtype == torch.float32 for tensor in tensors) else tensors[0].dtype
            yield name, found.to(widest) if found.dtype == torch.float64 else found


def merge(settings: StageSettings, folders: list[Path], folder: Path, weights: Sequence[float] | None = None) -> None:
    """Make the stage's model `folder` from its parents' model folders, with the contract of the stage's settings.

    weights: one per parent, which sum to 1. Default: as the stage says.
    """
    weights = settings.stage.shares if weights is None else weights
    torch.manual_seed(0)  # some of mergekit's methods draw what they drop
    parents = Parents(settings, folders)
    history = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "parents": parents.digests,
        "weights": list(weights),
    }
    with folder_atomically(folder) as temporary:
        save_like(folders[0], dict(parents.merged(weights)), settings.contract, history, temporary)
