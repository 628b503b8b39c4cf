"""An Ascent model as mteb sees it: prompts chosen by the contract, named and revised, never `no_model_name`."""

import numpy as np
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType

from ..model.encoder import Encoder
from .mteb_names import prompt_task


def model_meta(encoder: Encoder, name: str, **known) -> ModelMeta:
    """Return mteb's description of a model; its revision is the digest of its weights, cut to a commit's length.

    `known` holds further fields of mteb's ModelMeta (license, languages, adapted_from, ...).
    """
    similarity = ScoringFunction.COSINE if encoder.contract.similarity == "cosine" else ScoringFunction.DOT_PRODUCT
    fields = {
        "name": name,
        "revision": encoder.digest[:40],
        "embed_dim": encoder.model.dimension,
        "n_parameters": sum(weight.numel() for weight in encoder.model.parameters()),
        "max_tokens": encoder.contract.max_tokens,
        "similarity_fn_name": similarity,
        "use_instructions": any(text for side in encoder.contract.prompts.values() for text in side.values()),
        "framework": ["Sentence Transformers", "PyTorch", "Transformers", "safetensors"],
        "open_weights": True,
    }
    return ModelMeta.create_empty(fields | known)


class EvaluatedModel(AbsEncoder):
    """mteb's encoder protocol over an Encoder. Similarities come from mteb, by the contract's similarity."""

    def __init__(self, encoder: Encoder, name: str) -> None:
        self.encoder = encoder
        self.mteb_model_meta = model_meta(encoder, name)

    def encode(
        self,
        inputs,
        *,
        task_metadata: TaskMetadata,
        hf_split,
        hf_subset,
        prompt_type: PromptType | None = None,
        **options,
    ) -> np.ndarray:
        """Return the embeddings of a data loader's texts, float32 (texts, dimension).

        Both sides of a symmetric task (STS, clustering, ...) take the query's prompt.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        side = "document" if prompt_type == PromptType.document else "query"
        return self.encoder.encode(texts, side=side, task=prompt_task(task_metadata.type), progress=True)
